"""The usage server: says for how long each domain has run.

It holds a cap to each domain's scheduling context (``cap_sc``), and nothing else; the table ``usage`` of ``names`` says
in which slot of its root CNode which one is. The kernel counts what a context has consumed since it was last asked; the
sums are kept here, so they begin anew with this server. With such a cap one could also spend a domain's time, which is
why so small a program has them, and nobody who asks it.
"""

from typing import Any, Final

from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.protocols.usage import Consumed, Usage
from capkernel.user import stubs
from capkernel.user.channel_names import read_channel_names
from capkernel.user.errors import KernelError
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message, Syscalls

names: int = 0
names_size: int = 0x1000

SUPERVISOR, CLIENTS = 1, range(2, 10)
"""Channels."""
ROOT_SHIFT: Final = 58
"""Slot n of the root CNode has the address n << 58."""


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


class Program:
    """The server."""

    def __init__(self) -> None:
        self.servant: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Read which contexts there are."""
        table = read_channel_names((await pd.read(names, names_size)).rstrip(b"\0").decode(), "usage")
        self.servant = UsageServant(pd.sys, table)
        self.service = Service(pd, roots=self._root)

    def _root(self, session: int) -> Interface | None:
        servant: Interface = self.servant
        return servant if session in CLIENTS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
