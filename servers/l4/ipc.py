"""L4's IPC: call, reply-and-wait, open and closed wait, timeouts, on one endpoint of seL4's.

    ipc = Ipc(pd, partners=(ALICE, BOB), replies=(310, 311))
    request = await ipc.wait()                                  # from anybody
    second = await ipc.reply_and_wait(request, 0, (1,), partner=request.partner)    # from nobody else

A *partner* is known by the badge of the endpoint cap through which he sends: a number of this thread's own (L4's local
thread ID), which the description gives and nobody can forge. ``call`` is one system call of the kernel's and so is
``reply_and_wait``; four words travel in registers.

The kernel's endpoint delivers whoever comes. A message that is not waited for is therefore kept back, with its sender
in a reply object: for him it has not been received yet, and nothing was done with it. A partner has one thread, so a
reply object for each partner and one to receive with are always enough; who sends twice through one cap is refused.

What L4's kernel promises and this cannot, ``docs/l4.md`` says: timeouts of the one who sends.

Sources: *L4 eXperimental Kernel Reference Manual, Version X.2*, "IPC"; J. Liedtke, *Improving IPC by Kernel Design*
(SOSP 1993).
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

from attrs import frozen

from capkernel.protocols.clocks import Timer
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.loop import BASE_ENDPOINT_CAP, CHANNEL_MASK, ENDPOINT_BADGE, INPUT_CAP, PD, REPLY_CAP
from capkernel.user.syscalls import Message

LABEL_BITS: Final = 16
MAX_WORDS: Final = 63
NEVER: Final = None
"""The timeout of who waits without end."""
_SEND: Final = 1 << LABEL_BITS
"""Set in the label of a message whose sender wants no answer but that it was received."""
_ERROR: Final = 1 << LABEL_BITS + 1
"""Set in the label of an answer that is an error."""


class Failure(IntEnum):
    """Why an IPC failed: X.2's error codes."""

    TIMEOUT = 1
    NO_PARTNER = 2
    CANCELLED = 3
    OVERFLOW = 4


class IpcError(Exception):
    """An IPC failed; nothing was delivered."""

    def __init__(self, failure: Failure, why: str) -> None:
        self.failure = failure
        super().__init__(f"{failure.name}: {why}")


@frozen(eq=False)
class Received:
    """A message: from which partner, its label and words. If he called, he waits for a reply."""

    partner: int
    label: int
    words: tuple[int, ...]
    reply_cap: int | None

    @property
    def is_call(self) -> bool:
        """Whether he waits for a reply."""
        return self.reply_cap is not None


class Ipc:
    """The IPC of a domain's thread.

    ``partners``: whom it receives from, by the channels of their caps. ``replies``: addresses of further reply objects,
    at least one for each partner. ``timer``, and the channel by which it signals: for timeouts between 0 and never.
    ``signals`` are the channels that were signalled by others meanwhile, a bit each. Raises ValueError.
    """

    def __init__(
        self, pd: PD, partners: Iterable[int] = (), replies: Sequence[int] = (), timer: Timer | None = None,
        timer_channel: int = 0,
    ) -> None:  # fmt: skip
        self.pd = pd
        self.partners = frozenset(partners)
        if len(replies) < len(self.partners):
            raise ValueError(f"{len(self.partners)} partners want as many reply objects; here are {len(replies)}")
        self.timer = timer
        self.timer_channel = timer_channel
        self.signals = 0
        self._free = [*replies, REPLY_CAP]
        self._kept: list[Received] = []
        """Messages that were not waited for, the oldest first."""
        self._callers: dict[int, Received] = {}
        """Partners who are in a reply object of ours."""

    # Sending

    async def call(self, channel: int, label: int, words: Sequence[int] = ()) -> Received:
        """Send through a channel, and wait for the reply of whoever receives there, and of nobody else.

        Raises IpcError: NO_PARTNER if he died or does not receive from us, OVERFLOW for what is no message.
        """
        answer = await self.pd.sys.call(BASE_ENDPOINT_CAP + channel, _message(label, words))
        return _answered(channel, answer)

    async def send(self, channel: int, label: int, words: Sequence[int] = ()) -> None:
        """Send, and wait until it was received, that is, until the partner waits for us or for anybody. As ``call``."""
        message = _message(label, words)
        message.label |= _SEND
        _answered(channel, await self.pd.sys.call(BASE_ENDPOINT_CAP + channel, message))

    async def reply(self, received: Received, label: int, words: Sequence[int] = ()) -> None:
        """Answer who called. He waits, so this never does. Raises IpcError NO_PARTNER if he does not wait any more."""
        cap, message = self._answering(received), _message(label, words)
        await self.pd.sys.send(cap, message)
        self._free.append(cap)

    # Receiving

    async def wait(self, timeout_us: int | None = NEVER) -> Received:
        """Open wait: from any partner; whoever waited longest comes first. Raises IpcError TIMEOUT."""
        return await self._next(None, timeout_us)

    async def receive(self, partner: int, timeout_us: int | None = NEVER) -> Received:
        """Closed wait: from this partner. Others stay where they are. Raises IpcError TIMEOUT, NO_PARTNER."""
        return await self._next(partner, timeout_us)

    async def reply_and_wait(
        self, received: Received, label: int, words: Sequence[int] = (), *, partner: int | None = None,
        timeout_us: int | None = NEVER,
    ) -> Received:  # fmt: skip
        """Answer, and wait for anybody, or for one partner."""
        self._check(partner)
        if timeout_us is not NEVER or self._find_kept(partner) is not None:
            await self.reply(received, label, words)
            return await self._next(partner, timeout_us)
        cap, message = self._answering(received), _message(label, words)
        found = await self._accept(await self.pd.sys.reply_recv(INPUT_CAP, cap, message), cap, partner)
        return found if found is not None else await self._next(partner, NEVER)

    async def _next(self, partner: int | None, timeout_us: int | None) -> Received:
        self._check(partner)
        kept = self._find_kept(partner)
        if kept is not None:
            self._kept.remove(kept)
            return await self._received(kept)
        if timeout_us == 0:
            return await self._poll(partner)
        if timeout_us is not NEVER:
            return await self._until(partner, timeout_us)
        while True:
            found = await self._take(partner)
            if found is not None:
                return found

    async def _poll(self, partner: int | None) -> Received:
        """What is there now."""
        while True:
            cap = self._free.pop()
            message = await self.pd.sys.nbrecv(INPUT_CAP, cap)
            if not message.badge:
                self._free.append(cap)
                raise IpcError(Failure.TIMEOUT, "nobody sends now")
            found = await self._accept(message, cap, partner)
            if found is not None:
                return found

    async def _until(self, partner: int | None, timeout_us: int) -> Received:
        """What comes before a time is over."""
        if self.timer is None:
            raise ValueError("nobody keeps time for this thread")
        end = await self.timer.now() + timeout_us
        await self.timer.alarm(timeout_us, 0)
        while True:
            found = await self._take(partner)
            if found is not None:
                await self.timer.cancel()
                return found
            if await self.timer.now() >= end:
                raise IpcError(Failure.TIMEOUT, f"nobody sent for {timeout_us} µs")

    async def _take(self, partner: int | None) -> Received | None:
        cap = self._free.pop()
        return await self._accept(await self.pd.sys.recv(INPUT_CAP, cap), cap, partner)

    async def _accept(self, message: Message, cap: int, partner: int | None) -> Received | None:
        """What came, if it is waited for. The reply object is free again, unless somebody is in it."""
        if not message.badge & ENDPOINT_BADGE:
            self._free.append(cap)
            self.signals |= message.badge & ~(1 << self.timer_channel if self.timer else 0)
            return None
        sender = message.badge & CHANNEL_MASK
        if sender not in self.partners or sender in self._callers:
            await self._refuse(cap, Failure.NO_PARTNER if sender not in self.partners else Failure.CANCELLED)
            return None
        if message.label >= _ERROR or len(message.words) > MAX_WORDS:
            await self._refuse(cap, Failure.OVERFLOW)
            return None
        received = Received(sender, message.label, tuple(message.words), cap)
        self._callers[sender] = received
        if partner not in (None, sender):
            self._kept.append(received)
            return None
        return await self._received(received)

    async def _received(self, received: Received) -> Received:
        """A message is delivered now; who sent without calling goes on."""
        if not received.label & _SEND:
            return received
        await self.reply(received, 0)
        return Received(received.partner, received.label & ~_SEND, received.words, None)

    async def _refuse(self, cap: int, failure: Failure) -> None:
        await self.pd.sys.send(cap, Message(_ERROR | failure))
        self._free.append(cap)

    def _find_kept(self, partner: int | None) -> Received | None:
        return next((each for each in self._kept if partner in (None, each.partner)), None)

    def _check(self, partner: int | None) -> None:
        if partner is not None and partner not in self.partners:
            raise IpcError(Failure.NO_PARTNER, f"{partner} has no cap to this thread")

    def _answering(self, received: Received) -> int:
        """The reply object with a caller, which is used up."""
        if received.reply_cap is None or self._callers.get(received.partner) is not received:
            raise IpcError(Failure.NO_PARTNER, f"{received.partner} does not wait for a reply to this")
        del self._callers[received.partner]
        return received.reply_cap


def _message(label: int, words: Sequence[int]) -> Message:
    if not 0 <= label < 1 << LABEL_BITS or len(words) > MAX_WORDS:
        raise IpcError(Failure.OVERFLOW, f"a message has a label of {LABEL_BITS} bits and at most {MAX_WORDS} words")
    return Message(label, tuple(words))


def _answered(channel: int, answer: Message) -> Received:
    if answer.label == SERVER_DIED:
        raise IpcError(Failure.NO_PARTNER, f"who received through channel {channel} is no more")
    if answer.label & _ERROR:
        known = {_ERROR | failure: failure for failure in Failure}
        failure = known.get(answer.label, Failure.CANCELLED)
        raise IpcError(failure, f"the partner of channel {channel} did not receive it")
    return Received(channel, answer.label, tuple(answer.words), None)
