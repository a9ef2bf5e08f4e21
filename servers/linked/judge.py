"""What is wrong with a table of parts, before the system boots; the domain itself would refuse it in each of its lives.

The modules of programs are loaded for it, as the domain loads them; none is started. How parts are connected is judged
by what their programs declare (``wiring``).
"""

from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from types import ModuleType
from typing import Final

from attrs import evolve

from capkernel.user.pdimage import load_module, variable_words
from capkernel.user.tables import Given, Judge, Wrong, line_in, line_of
from servers.linked.installed import file_of, need_program, need_served
from servers.linked.table import Described, TableError, read_table
from servers.linked.wiring import Wired, misconnected

OWN: Final = frozenset({"parts", "parts_size"})
"""Variables of the domain that are no part's."""


def judge(given: Given) -> Iterator[Wrong]:
    """Everything that is wrong."""
    try:
        parts = read_table(given.text)
    except TableError as error:
        yield _wrong(given, error)
        return
    modules: dict[str, ModuleType] = {}
    for part in parts:
        try:
            module = load_module(file_of(part), f"capkernel_judged_{part.name}")
            need_program(part, module)
            modules[part.name] = module
        except TableError as error:
            yield _wrong(given, error)
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
                yield _wrong(given, error)
    wired = [
        Wired(part, modules[part.name].Program, _of_part(given.variables, part), _own_tables(given, part))
        for part in parts if part.name in modules
    ]  # fmt: skip
    for wrong in misconnected(wired, given.interrupts if given.channels is not None else None):
        yield _wrong(given, wrong)
    for variable in sorted(given.variables - OWN):
        if variable.partition("_")[0] not in named:
            yield Wrong(0, f"the description sets {variable}, but no part has that name", f"parts: {', '.join(named)}")


def _outside(given: Given, part: Described) -> Iterator[Wrong]:
    for channel, of_domain in part.outside.items():
        if given.channels is not None and of_domain not in given.channels:
            what = f"{part.name}: the domain has neither channel nor interrupt {of_domain}"
            has = f"it has {', '.join(map(str, sorted(given.channels))) or 'none'}"
            yield _wrong(given, TableError(what, (part.name, "outside", str(channel)), has))


def _shared(given: Given, parts: Iterable[Described]) -> Iterator[Wrong]:
    """Interrupts that more than one channel of parts is given: who is not the device's driver would acknowledge it."""
    taken: dict[int, str] = {}
    for part in parts:
        for channel, of_domain in part.outside.items():
            if of_domain not in given.interrupts:
                continue
            if of_domain in taken:
                what = f"{part.name}: channel {channel} is given interrupt {of_domain} of the domain, which "
                at = (part.name, "outside", str(channel))
                yield _wrong(given, TableError(f"{what}{taken[of_domain]} has", at, "an interrupt is one channel's"))
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
        yield _wrong(given, TableError(f"{part.name}: {error}", (part.name, "program")))


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
                found = [Wrong(line_in(str(error)), str(error))]
            for each in found:
                what = f"{part.name}: in its table {variable}: {each.message}"
                yield _wrong(given, TableError(what, (part.name, "program"), each.hint))


def _wrong(given: Given, error: TableError) -> Wrong:
    return Wrong(line_in(str(error)) or line_of(given.text, error.at), str(error), error.hint)
