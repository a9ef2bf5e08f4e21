"""The eleven system calls, as awaitables that take and give messages.

Words from the fifth on, and caps, go through the thread's IPC buffer, by ordinary stores and loads at its address.
"""

import struct
from collections.abc import Sequence

from capkernel.abi import message as msg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.user.operations import Results, ecall, read, write

REGISTERS = msg.N_MSG_REGISTERS
_SPILL = msg.BUFFER_MSG + 8 * REGISTERS
_NO_WORDS = (0, 0, 0, 0)


class Message:
    """A message, to be sent or just received.

    ``label`` and ``words`` are the sender's; ``caps`` are, when sending, the caps to transfer. After a receive
    ``badge`` says through which cap it came, ``extra_caps`` how many caps came along, and ``unwrapped`` the badges of
    those that arrived as badges (None for one that arrived as a cap). ``message[n]`` is message register n.
    """

    __slots__ = ("badge", "caps", "extra_caps", "label", "unwrapped", "words")

    def __init__(self, label: int = 0, words: Sequence[int] = (), caps: Sequence[int] = ()) -> None:
        self.label = label
        self.words = words
        self.caps = caps
        self.badge = 0
        self.extra_caps = 0
        self.unwrapped: tuple[int | None, ...] = ()

    def __getitem__(self, index: int) -> int:
        return self.words[index]

    def __setitem__(self, index: int, word: int) -> None:
        words = list(self.words)
        words.extend([0] * (index + 1 - len(words)))
        words[index] = word
        self.words = words

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"Message(label={self.label}, words={list(self.words)}, badge={self.badge:#x})"


EMPTY = Message()


class Syscalls:
    """System calls of a thread whose IPC buffer is mapped at ``buffer`` (0: it has none)."""

    __slots__ = ("buffer",)

    def __init__(self, buffer: int = 0) -> None:
        self.buffer = buffer

    async def call(self, dest: int, message: Message = EMPTY) -> Message:
        """Call: send, lend one's time, and wait for the reply."""
        info, (m0, m1, m2, m3) = await self._prepare(message)
        return await self._received(await ecall(sc.CALL, dest, info, m0, m1, m2, m3))

    async def send(self, dest: int, message: Message = EMPTY) -> None:
        """Send: wait until somebody receives it. Signals, if ``dest`` is a notification."""
        info, (m0, m1, m2, m3) = await self._prepare(message)
        await ecall(sc.SEND, dest, info, m0, m1, m2, m3)

    async def nbsend(self, dest: int, message: Message = EMPTY) -> None:
        """NBSend: send only if somebody waits; nobody says whether."""
        info, (m0, m1, m2, m3) = await self._prepare(message)
        await ecall(sc.NBSEND, dest, info, m0, m1, m2, m3)

    async def recv(self, source: int, reply: int) -> Message:
        """Recv: wait for a message; the caller, if it is a call, is held by the reply cap."""
        return await self._received(await ecall(sc.RECV, source, a6=reply))

    async def nbrecv(self, source: int, reply: int) -> Message:
        """NBRecv: as Recv if somebody waits to send; else an empty message with badge 0."""
        return await self._received(await ecall(sc.NBRECV, source, a6=reply))

    async def reply_recv(self, source: int, reply: int, message: Message = EMPTY) -> Message:
        """ReplyRecv: answer the caller in the reply cap, and wait for the next."""
        info, (m0, m1, m2, m3) = await self._prepare(message)
        return await self._received(await ecall(sc.REPLY_RECV, source, info, m0, m1, m2, m3, reply))

    async def nbsend_recv(self, dest: int, source: int, reply: int, message: Message = EMPTY) -> Message:
        """NBSendRecv: send to ``dest`` if somebody waits there, then Recv."""
        info, (m0, m1, m2, m3) = await self._prepare(message)
        return await self._received(await ecall(sc.NBSEND_RECV, source, info, m0, m1, m2, m3, reply, dest))

    async def nbsend_wait(self, dest: int, source: int, message: Message = EMPTY) -> Message:
        """NBSendWait: send to ``dest`` if somebody waits there, then Wait."""
        info, (m0, m1, m2, m3) = await self._prepare(message)
        return await self._received(await ecall(sc.NBSEND_WAIT, source, info, m0, m1, m2, m3, dest))

    async def wait(self, source: int) -> Message:
        """Wait: receive without a reply cap; the way to wait for a notification, whose word is the badge."""
        return await self._received(await ecall(sc.WAIT, source))

    async def nbwait(self, source: int) -> Message:
        """NBWait: as Wait if something is there; else an empty message with badge 0."""
        return await self._received(await ecall(sc.NBWAIT, source))

    async def yield_(self) -> None:
        """Yield: give up what is left of this turn's budget."""
        await ecall(sc.YIELD)

    async def signal(self, notification: int) -> None:
        """Send an empty message: how a notification is signalled."""
        await ecall(sc.SEND, notification)

    async def set_receive_slot(self, cnode: int, index: int, depth: int) -> None:
        """Say where a cap that comes with a message is to be put; it holds until it is changed."""
        self._require_buffer("a receive slot")
        await write(self.buffer + msg.BUFFER_RECEIVE_CNODE, struct.pack("<3Q", cnode, index, depth))

    async def print(self, text: str) -> None:
        """Write to the kernel's debug console."""
        for code in text.encode():
            await ecall(sc.DEBUG_PUT_CHAR, code)

    async def name_thread(self, tcb: int, name: str) -> None:
        """Tell a debug kernel what to call a thread; a kernel without debug calls takes it for a fault."""
        self._require_buffer("naming a thread")
        await write(self.buffer + msg.BUFFER_MSG, name.encode()[:127] + b"\0")
        await ecall(sc.DEBUG_NAME_THREAD, tcb)

    def _require_buffer(self, what: str) -> None:
        if not self.buffer:
            raise ValueError(f"{what} needs an IPC buffer, and this thread was given none")

    async def _prepare(self, message: Message) -> tuple[int, Sequence[int]]:
        """The info word, and four words for registers; what does not fit there is put into the IPC buffer."""
        words, caps, label = message.words, message.caps, message.label
        count = len(words)
        if not 0 <= label <= _LABEL_MASK:
            raise ValueError(f"a label has {msg.LABEL_BITS} bits; {label:#x} does not fit")
        if count > REGISTERS or caps:
            await self._spill(words, caps)
        info = label << msg.LABEL_SHIFT | len(caps) << 7 | count
        if count == REGISTERS:
            return info, words
        return info, (*words[:REGISTERS], *_NO_WORDS[: max(0, REGISTERS - count)])

    async def _spill(self, words: Sequence[int], caps: Sequence[int]) -> None:
        if len(words) > msg.MSG_MAX_LENGTH:
            raise ValueError(f"a message has at most {msg.MSG_MAX_LENGTH} words, not {len(words)}")
        if len(caps) > msg.MSG_MAX_EXTRA_CAPS:
            raise ValueError(f"a message carries at most {msg.MSG_MAX_EXTRA_CAPS} caps, not {len(caps)}")
        self._require_buffer(f"a message of {len(words)} words and {len(caps)} caps")
        rest = words[REGISTERS:]
        if rest:
            await write(self.buffer + _SPILL, _packed(rest))
        if caps:
            await write(self.buffer + msg.BUFFER_CAPS, _packed(caps))

    async def _received(self, results: Results) -> Message:
        badge, info, *words = results
        count = info & msg.LENGTH_MASK
        message = Message(info >> msg.LABEL_SHIFT, words[:count])
        message.badge = badge
        if count > REGISTERS and self.buffer:
            data = await read(self.buffer + _SPILL, 8 * (count - REGISTERS))
            message.words = (*words, *struct.unpack(f"<{count - REGISTERS}Q", data))
        if info >> 7 & 3:
            await self._take_caps(message, info)
        return message

    async def _take_caps(self, message: Message, info: int) -> None:
        message.extra_caps = count = msg.info_extra_caps(info)
        badges = struct.unpack(f"<{count}Q", await read(self.buffer + msg.BUFFER_CAPS, 8 * count))
        mask = msg.info_caps_unwrapped(info)
        message.unwrapped = tuple(badge if mask >> i & 1 else None for i, badge in enumerate(badges))


def _packed(words: Sequence[int]) -> bytes:
    try:
        return struct.pack(f"<{len(words)}Q", *words)
    except struct.error:
        bad = next(word for word in words if not 0 <= word <= WORD_MASK)
        raise ValueError(f"a word of a message is 0 to 2**64 - 1, not {bad}") from None


_LABEL_MASK = WORD_MASK >> msg.LABEL_SHIFT
