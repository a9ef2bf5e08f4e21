"""How programs are connected that have domains of their own: judged before the boot, as parts of one domain are."""

from collections.abc import Iterator, Mapping
from typing import Final

from capkernel.user.described import DescribedDomain, Misfit, Way
from capkernel.user.loop import BASE_ENDPOINT_CAP
from servers.linked.installed import installed_program, uses_of
from servers.linked.table import Described, End, TableError
from servers.linked.wiring import Outside, Wired, wrong_with

_OWN: Final = 0
"""Which of its programs a domain begins with."""


def judge(system: Mapping[str, DescribedDomain]) -> Iterator[Misfit]:
    """Everything that is wrong, with any of the programs that a domain can have."""
    others = [wired(system, domain, _OWN) for domain in system.values()]
    for domain in system.values():
        told = set[str]()
        for number in range(len(domain.programs)):
            for error in wrong_with(wired(system, domain, number), others):
                if str(error) not in told:
                    told.add(str(error))
                    yield _misfit(domain, error)


def wired(system: Mapping[str, DescribedDomain], domain: DescribedDomain, number: int) -> Wired:
    """A domain with one of its programs, connected as the description says."""
    program = installed_program(domain.programs[number])
    uses = uses_of(program)
    ways = {channel: way for channel, way in domain.ways.items() if way.asks}
    channels = {channel: End(way.domain, way.channel) for channel, way in ways.items()}
    slots = {slot: End(way.domain, way.channel) for slot, way in domain.asks.items() if way is not None}
    signals = {
        channel: way for channel, way in domain.ways.items()
        if not (way.asks or way.is_asked) or (uses is not None and channel in uses.signals)
    }  # fmt: skip
    outside = {number: Outside(f"interrupt {number}", is_interrupt=True) for number in domain.interrupts}
    outside |= {channel: outside_of(system, way) for channel, way in signals.items()}
    asks = {BASE_ENDPOINT_CAP + channel: end for channel, end in channels.items()} | slots
    described = Described(domain.name, domain.programs[number], {each: each for each in outside}, channels, asks)
    granted = frozenset(domain.asks)
    return Wired(
        described, program, domain.variables, domain.tables, outside, is_alone=True, granted=granted,
        held=granted | domain.lifecycles.keys(),
    )  # fmt: skip


def outside_of(system: Mapping[str, DescribedDomain], way: Way) -> Outside:
    """What is at the other end of a domain's channel."""
    other = system[way.domain]
    program = installed_program(other.programs[_OWN])
    nothing = Described(other.name, other.programs[_OWN], {}, {}, {})
    plays = Wired(nothing, program, other.variables, other.tables).plays()
    roles = None if plays is None else frozenset(role for channel, role in plays.items() if channel == way.channel)
    return Outside(f"{way.domain}'s channel {way.channel}", is_interrupt=False, roles=roles)


def _misfit(domain: DescribedDomain, error: TableError) -> Misfit:
    message = str(error).removeprefix(f"{domain.name}: ")
    match error.at:
        case (_, "slots", slot):
            return Misfit(domain.name, message, error.hint, slot=int(slot))
        case (_, "outside" | "channels", channel):
            return Misfit(domain.name, message, error.hint, channel=int(channel))
    return Misfit(domain.name, message, error.hint)
