"""A pager: what its children touch, it maps to them out of its own address space.

    class Program(Pager):
        windows = (Window(child=0, address=0x1000_0000, bits=16, source=0x2000_0000),)

A pager is a task whose children's faults come to it, and which has the caps to its own space and to theirs. It need not
have a page itself that a child wants: it touches it, faults at its own pager, and maps it when it is there. So pagers
stand on each other as high as one likes, and none knows how many are below or above.
"""

from typing import Any, Final

from attrs import frozen

from capkernel.abi import faults as flt
from capkernel.abi.objects import PAGE_BYTES
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.l4 import RW, Fpage, Rights, Sigma0, Space
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

OWN_SPACE: Final = 300
"""Slot of the cap to a task's own space."""
SIGMA0: Final = 302
"""Slot of the cap to sigma0, for those who have one."""
CHILD_SPACE: Final = 320
"""Slot of the cap to the space of child 0; the others' follow."""
TRIES: Final = 8
"""How often a page is touched that its own pager takes away again at once, or that is no page of a space."""
_ACCESS: Final = {
    flt.CAUSE_FETCH_ACCESS: Rights.EXECUTE, flt.CAUSE_LOAD_ACCESS: Rights.READ, flt.CAUSE_STORE_ACCESS: Rights.WRITE,
}  # fmt: skip


@frozen
class Window:
    """2**``bits`` bytes of a child's space, from ``address`` on, that are what the pager has from ``source`` on."""

    child: int
    address: int
    bits: int
    source: int
    rights: int = RW

    def place_of(self, child: int, address: int) -> int | None:
        """Where the pager has the page of a child's address, if it is in this window."""
        if child != self.child or not self.address <= address < self.address + (1 << self.bits):
            return None
        return (self.source + address - self.address) & -PAGE_BYTES


@frozen
class PageFault:
    """A child's fault: where it is, for which access."""

    child: int
    address: int
    access: Rights

    @classmethod
    def of(cls, child: int, msg: Message) -> "PageFault | None":
        """The page fault in a message; None if it is another fault."""
        if msg.label != flt.VM_FAULT:
            return None
        return cls(child, msg.words[1], _ACCESS.get(msg.words[3], Rights.READ))


class Pager:
    """The hooks of a pager. ``windows`` say what children find where; of each place the first window counts."""

    windows: "tuple[Window, ...]" = ()

    def __init__(self) -> None:
        self.own: Any = None
        self.children: dict[int, Any] = {}
        self.faults: dict[int, int] = {}
        """How many pages of each child were asked for."""

    async def init(self, pd: PD) -> None:
        """Know the spaces."""
        self.own = space_of(pd)
        for child in {window.child for window in self.windows}:
            self.children[child] = connect(Space, Connection(pd.sys), CHILD_SPACE + child)

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """Whether a child may go on."""
        fault = PageFault.of(child, msg)
        if fault is None:
            return await self.ended(pd, child, msg)
        for window in self.windows:
            place = window.place_of(child, fault.address)
            if place is not None and fault.access & window.rights:
                self.faults[child] = self.faults.get(child, 0) + 1
                return await self.serve(pd, fault, place, window.rights)
        return await self.ended(pd, child, msg)

    async def serve(self, pd: PD, fault: PageFault, place: int, rights: int) -> bool:
        """Map the pager's page at ``place`` to a child, as soon as it is there; returns whether it is."""
        page = fault.address & -PAGE_BYTES
        for _ in range(TRIES):
            if await self.own.rights(place) & fault.access:
                break
            await touch(pd, place, fault.access)
        else:
            return False
        try:
            await self.own.map(self.children[fault.child], Fpage(place, rights=rights), page)
        except Failure:
            return False
        return True

    async def ended(self, pd: PD, child: int, msg: Message) -> bool:
        """A child did what cannot be helped: it stays stopped."""
        return False


async def touch(pd: PD, address: int, access: Rights) -> None:
    """Access a page of one's own without changing it: one's own pager sees to it that this works."""
    if access & Rights.WRITE:
        await pd.amo("add", address, 0)
    else:
        await pd.load(address)


def space_of(pd: PD) -> Any:
    """A task's own space."""
    return connect(Space, Connection(pd.sys), OWN_SPACE)


def sigma0_of(pd: PD) -> Any:
    """Sigma0, for a task that was given a cap to it."""
    return connect(Sigma0, Connection(pd.sys), SIGMA0)
