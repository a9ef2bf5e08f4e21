"""What is wrong with a table of parts, before the system boots; the domain itself would refuse it in each of its lives.

The modules of programs are loaded for it, as the domain loads them; none is started. How parts are connected is judged
by what their programs declare (``wiring``).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from types import ModuleType
from typing import Final

from attrs import evolve

from capkernel.user.pdimage import load_module, variable_words
from capkernel.user.tables import Given, Judge, Wrong, wrong_by
from servers.linked.installed import file_of, need_program, need_served
from servers.linked.isolated import outside_of
from servers.linked.table import Described, TableError, read_table
from servers.linked.wiring import Outside, Wired, misconnected
from servers.neighbours import Role

OWN: Final = frozenset({"parts", "parts_size"})
"""Variables of the domain that are no part's."""


def judge(given: Given) -> Iterator[Wrong]:
    """Everything that is wrong."""
    try:
        parts = read_table(given.text)
    except TableError as error:
        yield wrong_by(given.text, error)
        return
    modules: dict[str, ModuleType] = {}
    for part in parts:
        try:
            module = load_module(file_of(part), f"capkernel_judged_{part.name}")
            need_program(part, module)
            modules[part.name] = module
        except TableError as error:
            yield wrong_by(given.text, error)
    named = {part.name: part for part in parts}
    yield from _shared(given, parts)
    for part in parts:
        yield from _outside(given, part)
        yield from _variables(given, part, modules)
        yield from _tables(given, part)
        for name in dict.fromkeys(end.part for end in part.asks.values()):
            try:
                if name in modules:
                    need_served(part, named[name], modules[name].Program)
            except TableError as error:
                yield wrong_by(given.text, error)
    leads = _leads(given)
    wired = [
        Wired(
            part, modules[part.name].Program, _of_part(given.variables, part), _own_tables(given, part),
            {channel: leads[of_domain] for channel, of_domain in part.outside.items() if of_domain in leads},
        )
        for part in parts if part.name in modules
    ]  # fmt: skip
    for wrong in (*misconnected(wired), *_unwatched(leads, wired)):
        yield wrong_by(given.text, wrong)
    for variable in sorted(given.variables - OWN):
        yield from _of_nobody(given, variable, named)


def _leads(given: Given) -> dict[int, Outside]:
    """Where channels of the domain lead, as far as that is known."""
    if given.channels is None:
        return {}
    leads = {number: Outside(f"{number} of the domain", number in given.interrupts) for number in given.channels}
    for number, way in given.system[given.domain].ways.items() if given.system else ():
        leads[number] = evolve(leads[number], roles=outside_of(given.system, way).roles)
    return leads


def _unwatched(leads: Mapping[int, Outside], parts: Sequence[Wired]) -> Iterator[TableError]:
    """Channels of the domain by which a supervisor wants signs of life, if no part gives any."""
    for number, to in leads.items():
        if to.roles is None or Role.SUPERVISOR not in to.roles:
            continue
        if any(each.uses is None and number in each.part.outside.values() for each in parts):
            continue
        can = [(each.part, channel) for each in parts for channel in _signs_of_life(each)]
        if any(part.outside.get(channel) == number for part, channel in can):
            continue
        what = f"the supervisor wants signs of life by channel {number} of the domain, and no part gives any there"
        if can:
            part, channel = can[0]
            hint = f"as in outside = {{ {channel} = {number} }}"
            yield TableError(f"{part.name}: {what}", (part.name, "outside"), hint)
        else:
            yield TableError(what)


def _signs_of_life(wired: Wired) -> list[int]:
    """The channels by which a part gives signs of life."""
    signals = wired.uses.signals if wired.uses is not None else {}
    return [channel for channel, role in signals.items() if role is Role.SUPERVISOR]


def _of_nobody(given: Given, variable: str, parts: Mapping[str, Described]) -> Iterator[Wrong]:
    """A variable that is no part's."""
    name = variable.partition("_")[0]
    if name in parts:
        return
    near = get_close_matches(name, parts, 1)
    what = f"the description sets {variable}, but no part has that name"
    yield wrong_by(given.text, TableError(what, near, f"parts: {', '.join(parts)}"))


def _outside(given: Given, part: Described) -> Iterator[Wrong]:
    for channel, of_domain in part.outside.items():
        if given.channels is not None and of_domain not in given.channels:
            what = f"{part.name}: the domain has neither channel nor interrupt {of_domain}"
            has = f"it has {', '.join(map(str, sorted(given.channels))) or 'none'}"
            yield wrong_by(given.text, TableError(what, (part.name, "outside", str(channel)), has))


def _shared(given: Given, parts: Iterable[Described]) -> Iterator[Wrong]:
    """Interrupts that more than one channel of parts is given: who is not the device's driver would acknowledge it."""
    taken: dict[int, str] = {}
    for part in parts:
        for channel, of_domain in part.outside.items():
            if of_domain not in given.interrupts:
                continue
            if of_domain in taken:
                what = f"{part.name}: channel {channel} is given interrupt {of_domain} of the domain, which "
                at, hint = (part.name, "outside", str(channel)), "an interrupt is one channel's"
                yield wrong_by(given.text, TableError(f"{what}{taken[of_domain]} has", at, hint))
            taken.setdefault(of_domain, f"{part.name}'s channel {channel}")


def _of_part(variables: frozenset[str], part: Described) -> frozenset[str]:
    prefix = f"{part.name}_"
    return frozenset(name.removeprefix(prefix) for name in variables if name.startswith(prefix))


def _variables(given: Given, part: Described, modules: dict[str, ModuleType]) -> Iterator[Wrong]:
    mine = dict.fromkeys(sorted(_of_part(given.variables, part)), 0)
    try:
        if part.name in modules:
            variable_words(modules[part.name], mine)
    except ValueError as error:
        yield wrong_by(given.text, TableError(f"{part.name}: {error}", (part.name, "program")))


def _own_tables(given: Given, part: Described) -> dict[str, str]:
    """The tables that a part is given, by its own variables."""
    return {name: given.tables[f"{part.name}_{name}"] for name in sorted(_of_part(frozenset(given.tables), part))}


def _tables(given: Given, part: Described) -> Iterator[Wrong]:
    """What is wrong with those, by who judges them where the part's program has a domain of its own."""
    mine = _own_tables(given, part)
    for variable, text in mine.items():
        for point in entry_points(group="capkernel.tables", name=f"{part.program}.{variable}"):
            judge: Judge = point.load()
            try:
                found = list(judge(evolve(given, text=text, tables=mine)))
            except ValueError as error:
                found = [wrong_by(text, error)]
            for each in found:
                what = f"{part.name}: in its table {variable}: {each.message}"
                yield evolve(each, message=what, table=f"{part.name}_{each.table or variable}")
