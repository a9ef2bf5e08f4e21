"""What is wrong with a table of parts, before the system boots; the domain itself would refuse it in each of its lives.

The modules of programs are loaded for it, as the domain loads them; none is started.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import Final

from capkernel.user.pdimage import load_module, variable_words
from capkernel.user.tables import Given, Wrong, line_in, line_of
from servers.linked.installed import file_of, need_program, need_served
from servers.linked.table import Described, TableError, read_table

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
    for part in parts:
        yield from _outside(given, part)
        yield from _variables(given, part, modules)
        for name in dict.fromkeys(end.part for end in part.asks.values()):
            try:
                if name in modules:
                    need_served(part, named[name], modules[name].Program)
            except TableError as error:
                yield _wrong(given, error)
    for variable in sorted(given.variables - OWN):
        if variable.partition("_")[0] not in named:
            yield Wrong(0, f"the description sets {variable}, but no part has that name", f"parts: {', '.join(named)}")


def _outside(given: Given, part: Described) -> Iterator[Wrong]:
    for channel, of_domain in part.outside.items():
        if given.channels is not None and of_domain not in given.channels:
            what = f"{part.name}: the domain has neither channel nor interrupt {of_domain}"
            has = f"it has {', '.join(map(str, sorted(given.channels))) or 'none'}"
            yield _wrong(given, TableError(what, (part.name, "outside", str(channel)), has))


def _variables(given: Given, part: Described, modules: dict[str, ModuleType]) -> Iterator[Wrong]:
    prefix = f"{part.name}_"
    mine = {name.removeprefix(prefix): 0 for name in sorted(given.variables) if name.startswith(prefix)}
    try:
        if part.name in modules:
            variable_words(modules[part.name], mine)
    except ValueError as error:
        yield _wrong(given, TableError(f"{part.name}: {error}", (part.name, "program")))


def _wrong(given: Given, error: TableError) -> Wrong:
    return Wrong(line_in(str(error)) or line_of(given.text, error.at), str(error), error.hint)
