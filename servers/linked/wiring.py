"""How parts are connected, held against what their programs declare of their channels (``servers.neighbours.Uses``).

Of a program that declares nothing nothing is known before it runs: then the domain itself finds what is wrong
(``table.Misconnected``).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from attrs import frozen

from capkernel.protocols.interface import Interface
from servers.linked.installed import uses_of
from servers.linked.table import Described, End, TableError, named
from servers.neighbours import Asks, Serves, ServesByTable, Uses


@frozen
class Wired:
    """A part, its program's class, which of its variables are set, and the texts of the tables that it is given."""

    part: Described
    program: Any
    variables: frozenset[str]
    tables: Mapping[str, str]

    @property
    def uses(self) -> Uses | None:
        """What its program declares."""
        return uses_of(self.program)

    def asks(self, uses: Uses) -> dict[int, Asks]:
        """What it asks with these variables."""
        return {cap: each for cap, each in uses.asks.items() if not each.given or each.given in self.variables}

    @property
    def serves(self) -> Mapping[int, Serves] | None:
        """What it serves at which channel; None if that is not known."""
        uses = self.uses
        if uses is None:
            return None
        if not isinstance(uses.serves, ServesByTable):
            return uses.serves
        try:
            return uses.serves.read(self.tables[uses.serves.variable])
        except (KeyError, ValueError):
            return None


def misconnected(parts: Sequence[Wired], interrupts: frozenset[int] | None) -> Iterator[TableError]:
    """Everything that is wrong. ``interrupts`` are the domain's; None if they are not known."""
    by_name = {each.part.name: each for each in parts}
    for place, each in enumerate(parts):
        uses = each.uses
        if uses is not None:
            yield from _outside(each, uses, interrupts)
            yield from _unused(each, uses)
            yield from _unconnected(each, uses, parts[:place])
        for cap, end in each.part.asks.items():
            if end.part in by_name:
                asks = None if uses is None else each.asks(uses).get(cap)
                yield from _asked(each.part, cap, end, asks, by_name[end.part], parts[:place])


def _outside(wired: Wired, uses: Uses, interrupts: frozenset[int] | None) -> Iterator[TableError]:
    part = wired.part
    right = _outside_of(uses)
    for channel, of_domain in part.outside.items():
        at = (part.name, "outside", str(channel))
        if channel not in uses.interrupts | uses.signals:
            yield TableError(f"{part.name}: {part.program} has no channel {channel} that leads outside", at, right)
        elif interrupts is not None and (channel in uses.interrupts) != (of_domain in interrupts):
            is_one = "an interrupt" if of_domain in interrupts else "no interrupt"
            what = f"{part.name}: channel {channel} is to lead to {of_domain} of the domain, which is {is_one}"
            yield TableError(what, at, right)


def _outside_of(uses: Uses) -> str:
    """What may lead outside, in words."""
    interrupts = [f"{channel}, an interrupt" for channel in sorted(uses.interrupts)]
    signals = [str(channel) for channel in sorted(uses.signals)]
    return f"outside may lead: {'; '.join((*interrupts, *signals)) or 'none'}"


def _unused(wired: Wired, uses: Uses) -> Iterator[TableError]:
    part, asks = wired.part, wired.asks(uses)
    through = ", ".join(f"{named(cap)} ({_name(each)})" for cap, each in asks.items())
    for cap in part.asks:
        if cap not in asks:
            what = f"{part.name}: {part.program} asks nobody through {named(cap)}"
            yield TableError(what, part.key_of(cap), f"it asks through {through}" if asks else "it asks nobody")


def _unconnected(wired: Wired, uses: Uses, above: Sequence[Wired]) -> Iterator[TableError]:
    part = wired.part
    for cap, asks in wired.asks(uses).items():
        if cap not in part.asks:
            what = f"{part.name}: {named(cap)}, through which {part.program} asks a {_name(asks)}, leads nowhere"
            yield TableError(what, (part.name,), _who_serves(asks, above))
    for channel in sorted(uses.interrupts - set(part.outside)):
        what = f"{part.name}: channel {channel}, the interrupt of the device of {part.program}, leads nowhere"
        yield TableError(what, (part.name,), f"as in outside = {{ {channel} = 0 }}, if 0 is the domain's interrupt")


def _asked(
    part: Described, cap: int, end: End, asks: Asks | None, asked: Wired, above: Sequence[Wired]
) -> Iterator[TableError]:  # fmt: skip
    serves = asked.serves
    if serves is None or not hasattr(asked.program, "root"):
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
            channel: given for channel, given in (each.serves or {}).items()
            if _is_a(given, asks) and not (asks.to_change and given.read_only)
        }
        for each in above
    }  # fmt: skip
    found = [f"{name}'s {_channels(channels)}" for name, channels in fits.items() if channels]
    to_change = " that can be changed" if asks.to_change else ""
    return f"a {_name(asks)}{to_change} is at {' and '.join(found) or 'no part above it'}"


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
