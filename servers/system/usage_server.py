"""The usage server: says for how long each domain has run.

It holds a cap to each domain's scheduling context (``cap_sc``), and nothing else; the table ``usage`` of ``names`` says
in which slot of its root CNode which one is. The kernel counts what a context has consumed since it was last asked; the
sums are kept here, so they begin anew with this server, unless it gives way to another (``state``). With such a cap
one could also spend a domain's time, which is why so small a program has them, and nobody who asks it.
"""

from typing import Any, ClassVar, Final

from attrs import frozen

from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.protocols.usage import Consumed, Usage
from capkernel.user import stubs
from capkernel.user.channel_names import read_channel_names
from capkernel.user.errors import KernelError
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message, Syscalls
from servers.neighbours import Role, Serves, Uses
from servers.system.retiring import Handover, decline

names: int = 0
names_size: int = 0x1000
state: int = 0
state_size: int = 0x1000

SUPERVISOR, CLIENTS, UPDATE = 1, range(2, 10), 20
"""Channels."""
ROOT_SHIFT: Final = 58
"""Slot n of the root CNode has the address n << 58."""


@frozen
class KeptSums:
    """For the next program: what each domain has consumed. What the kernel was not asked yet it still counts."""

    sums: list[Consumed]


class UsageServant(Usage):
    """The sums."""

    def __init__(self, sys: Syscalls, slots: dict[int, str]) -> None:
        self.sys = sys
        self.slots = slots
        self.sums = dict.fromkeys(slots, 0)

    async def consumed(self) -> list[Consumed]:
        """Ask the kernel."""
        for slot in self.slots:
            try:
                self.sums[slot] += await stubs.sched_context_consumed(self.sys, slot << ROOT_SHIFT)
            except KernelError:
                # The domain is destroyed just now, and its scheduling context with it.
                continue
        return [Consumed(label, self.sums[slot]) for slot, label in self.slots.items()]


    def kept(self) -> KeptSums:
        """The sums as they are."""
        return KeptSums([Consumed(label, self.sums[slot]) for slot, label in self.slots.items()])

    async def take_up(self, kept: KeptSums) -> None:
        """Go on from these; a domain of which nothing is known here was not in the table of the program before."""
        known = {each.label: each.us for each in kept.sums}
        if len(known) != len(kept.sums) or any(us < 0 for us in known.values()):
            raise ValueError("these are no sums")
        self.sums = {slot: known.get(label, 0) for slot, label in self.slots.items()}


class Program:
    """The server."""

    uses: ClassVar[Uses] = Uses(
        serves=dict.fromkeys(CLIENTS, Serves(Usage)),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"names"}),
    )

    def __init__(self) -> None:
        self.servant: Any = None
        self.service: Any = None
        self.handover: Any = None

    async def init(self, pd: PD) -> None:
        """Read which contexts there are."""
        table = read_channel_names((await pd.read(names, names_size)).rstrip(b"\0").decode(), "usage")
        self.servant = UsageServant(pd.sys, table)
        self.service = Service(pd, roots=self._root)
        if state:
            self.handover = Handover(pd, KeptSums, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(self.servant.take_up)

    def _root(self, session: int) -> Interface | None:
        servant: Interface = self.servant
        return servant if session in CLIENTS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        if ch != UPDATE:
            await pd.notify(SUPERVISOR)
        elif self.handover is None:
            await decline(pd, "there is no memory that outlives the sums")
        else:
            await self.handover.give_way(self.servant.kept())

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
