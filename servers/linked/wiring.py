"""How parts are connected, held against what their programs declare of their channels (``servers.neighbours.Uses``).

It is the same for parts of a domain (``judge``) and for programs each of which has a domain of its own (``isolated``).
Of a program that declares nothing nothing is known before it runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from attrs import field, frozen

from capkernel.protocols.interface import Interface
from capkernel.user.loop import BASE_ENDPOINT_CAP
from servers.linked.installed import uses_of
from servers.linked.table import Described, End, TableError, named
from servers.neighbours import Asks, ByTable, Role, Serves, Uses

T = TypeVar("T")


@frozen
class Outside:
    """What is at the other end of a channel that leads outside: in words, whether it is an interrupt, and what it
    plays; None if it does not declare that.
    """

    words: str
    is_interrupt: bool
    roles: frozenset[Role] | None = None


@frozen
class Wired:
    """A part, its program's class, which of its variables are set, and the texts of the tables that it is given.

    ``outside`` is where its channels that lead outside lead, as far as that is known. ``is_alone`` says that it has a
    domain of its own; ``granted`` are the caps by which it can ask in a way that is no channel's, ``held`` these and
    those to lifecycles.
    """

    part: Described
    program: Any
    variables: frozenset[str]
    tables: Mapping[str, str]
    outside: Mapping[int, Outside] = field(factory=dict)
    is_alone: bool = False
    granted: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()

    @property
    def uses(self) -> Uses | None:
        """What its program declares."""
        return uses_of(self.program)

    def asks(self) -> dict[int, Asks] | None:
        """What it asks through which cap; None if that is not known."""
        known = None if self.uses is None else self._known(self.uses.asks)
        if known is None:
            return None
        return {cap: each for cap, each in known.items() if not each.given or each.given in self.variables}

    def serves(self) -> Mapping[int, Serves] | None:
        """What it serves at which channel; None if that is not known."""
        return None if self.uses is None else self._known(self.uses.serves)

    def plays(self) -> Mapping[int, Role] | None:
        """What it is to those at the other ends of its channels; None if that is not known."""
        return None if self.uses is None else self._known(self.uses.plays)

    def _known(self, declared: Mapping[int, T] | ByTable[T]) -> Mapping[int, T] | None:
        return declared.known(self.tables, self.variables) if isinstance(declared, ByTable) else declared


def misconnected(parts: Sequence[Wired]) -> Iterator[TableError]:
    """Everything that is wrong with parts of one domain, of which each asks those above it."""
    for place, each in enumerate(parts):
        yield from wrong_with(each, parts[:place])


def wrong_with(wired: Wired, others: Sequence[Wired]) -> Iterator[TableError]:
    """What is wrong with one that can ask these others."""
    uses, asks = wired.uses, wired.asks()
    if uses is not None:
        yield from _unset(wired, uses)
        yield from _outside(wired, uses)
        yield from _missing(wired, uses)
        yield from _empty(wired, uses)
        if asks is not None:
            yield from _unused(wired, uses, asks)
            yield from _unconnected(wired, asks, others)
    by_name = {each.part.name: each for each in others}
    for cap, end in wired.part.asks.items():
        if end.part in by_name:
            yield from _asked(wired.part, cap, end, (asks or {}).get(cap), by_name[end.part], others)


def _unset(wired: Wired, uses: Uses) -> Iterator[TableError]:
    part = wired.part
    prefix = "" if wired.is_alone else f"{part.name}_"
    for name in sorted((uses.needs | uses.shares if wired.is_alone else uses.needs) - wired.variables):
        linked = f"and the description sets no {prefix}{name}"
        unset = "which the description does not set" if wired.is_alone else linked
        what = f"{part.name}: {part.program} needs `{name}`, {unset}"
        hint = f'as in <map mr="..." vaddr="..." setvar_vaddr="{prefix}{name}" />'
        yield TableError(what, (part.name,), hint)


def _outside(wired: Wired, uses: Uses) -> Iterator[TableError]:
    part = wired.part
    right = _outside_of(uses)
    for channel in part.outside:
        at = (part.name, "outside", str(channel))
        role, to = uses.signals.get(channel), wired.outside.get(channel)
        if role is None and channel not in uses.interrupts:
            yield TableError(f"{part.name}: {part.program} has no channel {channel} that leads outside", at, right)
        elif to is None or role is Role.ANY:
            continue
        elif to.is_interrupt != (role is None):
            is_one = "an interrupt" if to.is_interrupt else "no interrupt"
            yield TableError(f"{part.name}: channel {channel} is to lead to {to.words}, which is {is_one}", at, right)
        elif role is not None and to.roles is not None and not to.roles & {role, Role.ANY}:
            what = f"{part.name}: channel {channel} is to lead to {to.words}, where there is no {role.value}"
            yield TableError(what, at, right)


def _outside_of(uses: Uses) -> str:
    """What may lead outside, in words."""
    interrupts = [f"{channel}, an interrupt" for channel in sorted(uses.interrupts)]
    signals = [f"{channel}, {role.value}" for channel, role in sorted(uses.signals.items(), key=lambda each: each[0])]
    return f"outside may lead: {'; '.join((*interrupts, *signals)) or 'none'}"


def _missing(wired: Wired, uses: Uses) -> Iterator[TableError]:
    """Channels that lead nowhere, and without which it does not work."""
    part = wired.part
    for channel in sorted(uses.interrupts - set(part.outside)):
        what = f"{part.name}: channel {channel}, the interrupt of the device of {part.program}, leads nowhere"
        alone, linked = f'as in <irq irq="..." id="{channel}" />', f"as in outside = {{ {channel} = 0 }}, if 0 is the"
        yield TableError(what, (part.name,), alone if wired.is_alone else f"{linked} domain's interrupt")
    for channel in sorted(uses.required - set(part.outside)):
        role = uses.signals[channel]
        who = "somebody" if role is Role.ANY else f"a {role.value}"
        what = f"{part.name}: channel {channel}, by which {who} signals {part.program}, leads nowhere"
        alone = f'as in <channel> with <end pd="{part.name}" id="{channel}" />'
        linked = f"as in outside = {{ {channel} = 3 }}, if 3 of the domain leads to {who}"
        yield TableError(what, (part.name,), alone if wired.is_alone else linked)


def _empty(wired: Wired, uses: Uses) -> Iterator[TableError]:
    """Slots without a cap that it has to have."""
    part = wired.part
    for slot in sorted(uses.holds - wired.held if wired.is_alone else ()):
        what = f"{part.name}: slot {slot}, in which {part.program} needs a cap of its own, is empty"
        yield TableError(what, (part.name,), f'as in <?capkernel grant pd="{part.name}" ... slot="{slot}"?>')


def _unused(wired: Wired, uses: Uses, asks: Mapping[int, Asks]) -> Iterator[TableError]:
    part = wired.part
    through = ", ".join(f"{named(cap)} ({_name(each)})" for cap, each in asks.items())
    told = {BASE_ENDPOINT_CAP + channel for channel in uses.signals} if wired.is_alone else set[int]()
    for cap in part.asks:
        if cap not in asks and cap not in told:
            what = f"{part.name}: {part.program} asks nobody through {named(cap)}"
            yield TableError(what, part.key_of(cap), f"it asks through {through}" if asks else "it asks nobody")


def _unconnected(wired: Wired, asked: Mapping[int, Asks], above: Sequence[Wired]) -> Iterator[TableError]:
    part = wired.part
    for cap, asks in asked.items():
        if cap not in part.asks and cap not in wired.granted and not asks.optional:
            what = f"{part.name}: {named(cap)}, through which {part.program} asks a {_name(asks)}, leads nowhere"
            yield TableError(what, (part.name,), _who_serves(asks, above))


def _asked(
    part: Described, cap: int, end: End, asks: Asks | None, asked: Wired, above: Sequence[Wired]
) -> Iterator[TableError]:  # fmt: skip
    serves = asked.serves()
    if serves is None or not (asked.is_alone or hasattr(asked.program, "root")):
        return
    at, leads = part.key_of(cap), f"{part.name}: {named(cap)} leads to {end.part}'s channel {end.channel}"
    if end.channel not in serves:
        hint = _who_serves(asks, above) if asks is not None else f"{end.part} serves {_channels(serves)}"
        yield TableError(f"{leads}, where {asked.part.program} serves nobody", at, hint)
        return
    given = serves[end.channel]
    if asks is None:
        return
    if not _is_a(given, asks):
        what = f"{leads}, which gives a {_name(given)} and no {_name(asks)}"
        yield TableError(what, at, _who_serves(asks, above))
    elif asks.to_change and given.read_only:
        what = f"{leads}, through which nothing can be changed, as {part.program} wants to"
        yield TableError(what, at, _who_serves(asks, above))


def _is_a(given: Serves, asks: Asks) -> bool:
    return issubclass(_interface(given), _interface(asks))


def _interface(of: Asks | Serves) -> type[Interface]:
    return cast("type[Interface]", of.interface)


def _name(of: Asks | Serves) -> str:
    return _interface(of).__name__


def _who_serves(asks: Asks, above: Sequence[Wired]) -> str:
    """Where this could be asked, in words."""
    fits = {
        each.part.name: {
            channel: given for channel, given in (each.serves() or {}).items()
            if _is_a(given, asks) and not (asks.to_change and given.read_only)
        }
        for each in above
    }  # fmt: skip
    found = [f"{name}'s {_channels(channels)}" for name, channels in fits.items() if channels]
    to_change = " that can be changed" if asks.to_change else ""
    nowhere = "no channel of anybody who declares it" if any(each.is_alone for each in above) else "no part above it"
    return f"a {_name(asks)}{to_change} is at {' and '.join(found) or nowhere}"


def _channels(channels: Mapping[int, object]) -> str:
    """Channels in words: single ones, and ranges."""
    runs: list[list[int]] = []
    for channel in sorted(channels):
        if runs and channel == runs[-1][-1] + 1:
            runs[-1].append(channel)
        else:
            runs.append([channel])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"channel{'s' if len(channels) != 1 else ''} {', '.join(words) or 'none'}"
