"""System calls of a part: caps by which others may signal its channels are made, moved and deleted in a table here.

In a domain of its own a program makes such caps out of one to its notification, and hands them over with messages. Here
a signal is only noted, for its receiver is in the same domain. Every other system call is the kernel's.
"""

from collections.abc import Callable
from typing import Final

from capkernel.abi import labels
from capkernel.user.loop import BASE_ENDPOINT_CAP, MAX_CHANNELS
from capkernel.user.syscalls import EMPTY, Message, Syscalls
from servers.linked.table import Misconnected, named

Signal = Callable[[], None]
_DONE: Final = Message()


class PartSyscalls(Syscalls):
    """``own`` is called with the bits of its own channels that are signalled. ``signals`` is what its slots hold.
    ``name`` is the part's.
    """

    __slots__ = ("name", "own", "signals")

    def __init__(self, buffer: int, own: Callable[[int], None], name: str) -> None:
        super().__init__(buffer)
        self.own = own
        self.name = name
        self.signals: dict[int, Signal] = {}

    async def call(self, dest: int, message: Message = EMPTY) -> Message:
        """What is done to caps in its own CNode is done to the table."""
        words = message.words
        match message.label:
            case labels.CNODE_MINT:
                badge, own = words[5], self.own
                self.signals[words[0]] = self.signals.get(words[2]) or (lambda: own(badge))
            case labels.CNODE_MOVE:
                self.signals[words[0]] = self.signals.pop(words[2])
            case labels.CNODE_DELETE:
                self.signals.pop(words[0], None)
            case _:
                self._need_outside(dest)
                return await super().call(dest, message)
        return _DONE

    def _need_outside(self, dest: int) -> None:
        """Behind a channel is a part, if anybody. Raises Misconnected if a program asks one as if it were elsewhere."""
        if 0 <= dest - BASE_ENDPOINT_CAP < MAX_CHANNELS:
            what = f"{self.name}: the program asks the kernel for who is behind {named(dest)}"
            raise Misconnected(f"{what}; a part that asks others must ask for its neighbours (servers.neighbours)")

    async def nbsend(self, dest: int, message: Message = EMPTY) -> None:
        """A signal, if that is what the slot holds."""
        if dest in self.signals:
            self.signals[dest]()
        else:
            await super().nbsend(dest, message)

    async def set_receive_slot(self, cnode: int, index: int, depth: int) -> None:
        """Nothing comes by message."""
