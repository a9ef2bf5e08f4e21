"""Tables that a description puts into programs' memory, judged before the boot by whoever offers that for a program."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from capkernel.system.context import Context
from capkernel.system.description import FilePrefill, ProtectionDomain, SystemDescription
from capkernel.system.diagnostics import DescriptionError, Diagnostic, Location
from capkernel.system.extensions import Extensions
from capkernel.tools.described import described, text_of
from capkernel.tools.misfits import misfits
from capkernel.user.described import DescribedDomain
from capkernel.user.tables import Given, Judge, Wrong, WrongTable, wrong_by

GROUP: Final = "capkernel.tables"


def need_tables(system: SystemDescription, said: Extensions, search_path: Sequence[Path]) -> None:
    """Raise DescriptionError, with every reason, if a program would not accept a table that it is given, or could not
    work with how it is connected.
    """
    context = Context(platform=system.platform, search_path=search_path)
    domains = described(system, said, search_path)
    wrong = [
        *(each for pd in system.protection_domains for each in _of_domain(system, context, domains, pd)),
        *misfits(system, said, domains),
    ]
    if wrong:
        raise DescriptionError(dict.fromkeys(wrong))


def wrong_table(report: str) -> str | None:
    """What a program found wrong with a table when it ended with that report of an exception; None if that was not why.

    An exception of which the class is a ``WrongTable`` is one, whatever module it is of.
    """
    name, _, message = report.strip().rpartition("\n")[2].partition(": ")
    module, _, kind = name.rpartition(".")
    found = getattr(sys.modules.get(module), kind, None)
    return message if isinstance(found, type) and issubclass(found, WrongTable) else None


def _of_domain(
    system: SystemDescription, context: Context, domains: Mapping[str, DescribedDomain], pd: ProtectionDomain
) -> Iterator[Diagnostic]:  # fmt: skip
    for program in dict.fromkeys(domains[pd.name].programs):
        for point in entry_points(group=GROUP):
            name, _, variable = point.name.partition(".")
            if program == name:
                yield from _judged(system, context, domains, pd, point, variable)


def _judged(
    system: SystemDescription, context: Context, domains: Mapping[str, DescribedDomain], pd: ProtectionDomain,
    point: EntryPoint, variable: str,
) -> Iterator[Diagnostic]:  # fmt: skip
    where = _where(system, context, pd, variable)
    if where is None:
        return
    location, data = where
    for wrong in _wrong(point, data, domains, pd.name):
        of = _where(system, context, pd, wrong.table) if wrong.table else None
        file = location if of is None else of[0]
        at = Location(file.file, wrong.line) if file.line == 0 else file
        yield Diagnostic(at, f"'{pd.name}': {wrong.message}", wrong.hint)


def _where(
    system: SystemDescription, context: Context, pd: ProtectionDomain, variable: str
) -> tuple[Location, bytes] | None:  # fmt: skip
    """The file of the table at a variable, and its bytes; where nothing fills the memory, that, and nothing."""
    for map_ in pd.maps:
        if map_.setvar_vaddr == variable:
            prefill = system.region(map_.region).prefill
            if isinstance(prefill, FilePrefill):
                return Location(str(context.find(prefill.path) or prefill.path)), prefill.data
            return (map_.where, b"") if prefill is None else None
    return None


def _wrong(
    point: EntryPoint, data: bytes, domains: Mapping[str, DescribedDomain], domain: str
) -> Iterator[Wrong]:  # fmt: skip
    try:
        text = text_of(data)
    except UnicodeDecodeError as error:
        yield Wrong(data[: error.start].count(b"\n") + 1, "the table is no UTF-8", "a text")
        return
    judge: Judge = point.load()
    it = domains[domain]
    channels = it.interrupts | it.ways.keys()
    try:
        yield from judge(Given(text, it.variables, channels, it.interrupts, it.tables, domain, domains))
    except ValueError as error:
        yield wrong_by(text, error)
    except RecursionError:
        yield Wrong(0, "the table is nested too deeply to be read")
