"""A domain of several parts in one thread: who goes on next, and who hears of what comes from outside.

Parts begin in the order of the table, each when those that it asks are ready. A client that never has to wait, since
all its files are in memory, makes way now and then: others have their turn, and somebody outside may want a sign of
life.
"""

from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Interface, interface_of
from capkernel.user.loop import INPUT_CAP, PD
from capkernel.user.tasks import Condition
from servers.linked.in_place import InPlace, Server, in_place_class
from servers.linked.installed import need_served
from servers.linked.part import Part, Way
from servers.linked.table import Described, End, Misconnected, named

TURNS: Final = 16
"""Requests after which somebody outside is heard, and another client has its turn."""


@frozen
class Member:
    """A part as the table has it, and its program's module."""

    described: Described
    module: ModuleType


class Domain:
    """The parts, connected. Raises TableError if one is to be asked that serves nobody."""

    def __init__(self, pd: PD, members: Iterable[Member]) -> None:
        self.pd = pd
        self.parts = {
            each.described.name: Part(pd, each.described, each.module.Program()) for each in members
        }  # fmt: skip
        self.turns = 0
        self.pause = Condition()
        servers = {name: Server(part, self._turn) for name, part in self.parts.items()}
        for part in self.parts.values():
            for inner, outer in part.described.outside.items():
                part.pd.ways[inner] = partial(pd.notify, outer)
            for channel, end in part.described.channels.items():
                self._connect(part, channel, end)
            for cap, end in part.described.asks.items():
                asked = self.parts[end.part]
                need_served(part.described, asked.described, asked.program)
                part.pd.makers[cap] = _made(servers[end.part], part, cap, end)

    def _connect(self, part: Part, channel: int, end: End) -> None:
        """Let each of two parts notify the other."""
        other = self.parts[end.part]
        part.pd.ways[channel] = _way(other, end.channel)
        other.pd.ways[end.channel] = _way(part, channel)

    def hear(self, bits: int) -> None:
        """Channels of the domain were signalled."""
        for part in self.parts.values():
            for inner, outer in part.described.outside.items():
                if bits >> outer & 1:
                    part.signal(inner)

    async def go_on(self) -> None:
        """Let all parts go on until each waits."""
        while True:
            part = next((part for part in self.parts.values() if part.has_work or self._may_begin(part)), None)
            if part is not None:
                await (part.go_on() if part.has_begun else part.begin())
            elif self.pause.waiting:
                self.hear((await self.pd.sys.nbrecv(INPUT_CAP, self.pd.reply_cap)).badge)
                self.pause.notify()
            else:
                return

    def _may_begin(self, part: Part) -> bool:
        asked = (self.parts[end.part] for end in part.described.asks.values())
        return not part.has_begun and all(each.is_ready for each in asked)

    async def _turn(self, caller: Part) -> None:
        """A part had its request served. If it is a client, others may have their turn now."""
        if not caller.is_server:
            self.turns += 1
            if self.turns % TURNS == 0:
                await self.pause.wait()


def _way(part: Part, channel: int) -> Way:
    async def notify() -> None:
        part.signal(channel)

    return notify


def _made(server: Server, caller: Part, cap: int, end: End) -> Callable[[type[Interface]], InPlace]:
    """Makes what takes the place of a stub that speaks an interface to whoever is at an end."""

    def find(interface: type[Interface]) -> Interface | None:
        servant: Interface | None = server.part.program.root(end.channel)
        leads = f"{caller.pd.name}: {named(cap)} leads to {end.part}'s channel {end.channel}"
        if servant is None and server.part.uses is None:
            raise Misconnected(f"{leads}, which gives nothing")
        if servant is not None and not isinstance(servant, interface):
            raise Misconnected(f"{leads}, which gives a {_spoken(servant)} and no {interface.__name__}")
        return servant

    return lambda interface: in_place_class(interface)(server, caller, find=partial(find, interface))


def _spoken(servant: Interface) -> str:
    return interface_of(type(servant)).__name__
