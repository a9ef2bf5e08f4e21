"""Callers who wait for an answer while their server is replaced: they and their requests outlive the program.

Their reply objects are made of memory that lasts, and their caps lie in slots that last. So the initial task, who ends
a program's life, knows nothing of them: who waits in one goes on waiting, and the next program takes his request up as
if it came again. After a crash nobody knows what they wanted: whoever begins then tells them so (``abandon``).
"""

from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from capkernel.abi import objects as obj
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.codec import Word
from capkernel.user.errors import KernelError
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

P = TypeVar("P")
_DEAD: Final = Message(SERVER_DIED)


class LastingReplies:
    """Reply objects in the ``slots`` of a CNode that lasts: ``cnode`` is the cap to it, ``base`` the address of slot 0.

    They are made once, of the memory behind ``untyped``; no later life has a cap to that any more.
    """

    def __init__(self, pd: PD, cnode: int, base: int, slots: range, untyped: int) -> None:
        self.pd = pd
        self.cnode = cnode
        self.untyped = untyped
        self.slots = slots
        self.addresses = [base | slot for slot in slots]

    async def open(self) -> None:
        """Have them, whichever life made them. To be awaited before anybody calls."""
        try:
            await stubs.untyped_retype(
                self.pd.sys, self.untyped, object_type=obj.REPLY, size_bits=0, root=self.cnode, node_index=0,
                node_depth=0, node_offset=self.slots.start, num_objects=len(self.slots),
            )  # fmt: skip
        except KernelError:
            if self.pd.life == 1:
                raise

    def use(self, held: list[int]) -> None:
        """Hold callers in them from now on; in some, callers wait already. Raises ValueError if these cannot be."""
        if not set(held) <= set(self.addresses) or len(set(held)) < len(held) or len(held) == len(self.addresses):
            raise ValueError("a caller waits where none can")
        first, *others = (address for address in self.addresses if address not in held)
        self.pd.reply_cap, self.pd.spare_replies = first, others

    async def abandon(self) -> None:
        """Whoever waited in a former life is told that it died. One who does not wait hears nothing."""
        for address in self.addresses:
            await self.pd.sys.send(address, _DEAD)


@frozen
class KeptRequest:
    """A request as it came, and the reply object in which its caller waits."""

    reply: Word
    badge: Word
    label: Word
    words: list[Word]


class Callers(Generic[P]):
    """Who was kept waiting with which request, and how far that has come (``P``, the server's own matter)."""

    def __init__(self, pd: PD) -> None:
        self.pd = pd
        self._held: dict[int, tuple[Message, P]] = {}

    async def serve(self, service: Service, message: Message, progress: P) -> Any:
        """Serve a request; the answer is for the loop that called the ``protected`` hook."""
        reply = self.pd.reply_cap
        answer = await service.protected(message)
        if self.pd.reply_cap != reply:
            self._held[reply] = message, progress
        return answer

    def waiting(self) -> list[tuple[int, Message, P]]:
        """Those who still wait, by their reply objects."""
        free = {self.pd.reply_cap, *self.pd.spare_replies}
        return [(reply, *held) for reply, held in self._held.items() if reply not in free]

    async def resume(self, service: Service, kept: KeptRequest, progress: P) -> None:
        """Serve a request that was made to a former life, and answer it if it need not wait any more."""
        pd = self.pd
        pd.spare_replies.append(pd.reply_cap)
        pd.reply_cap = kept.reply
        message = Message(kept.label, kept.words)
        message.badge = kept.badge
        answer = await self.serve(service, message, progress)
        if isinstance(answer, Message):
            await pd.sys.send(kept.reply, answer)
        if pd.reply_cap == kept.reply:
            pd.reply_cap = pd.spare_replies.pop()
            pd.spare_replies.append(kept.reply)


def keep_request(reply: int, message: Message) -> KeptRequest:
    """Write a request down that has begun: as it was read then, whatever stands now in its client's memory."""
    return KeptRequest(Word(reply), Word(message.badge), Word(message.label), [Word(word) for word in message.words])
