"""Tables that a description puts into programs' memory, judged before the boot by whoever offers that for a program."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from capkernel.system.context import Context
from capkernel.system.description import FilePrefill, ProtectionDomain, SystemDescription
from capkernel.system.diagnostics import DescriptionError, Diagnostic, Location
from capkernel.system.extensions import Extensions
from capkernel.system.images import ELF_SUFFIX, find_image
from capkernel.system.symbols import symbol_patches
from capkernel.user.tables import Given, Judge, Wrong, WrongTable, line_in

GROUP: Final = "capkernel.tables"


def need_tables(system: SystemDescription, said: Extensions, search_path: Sequence[Path]) -> None:
    """Raise DescriptionError, with every reason, if a program would not accept a table that it is given."""
    context = Context(platform=system.platform, search_path=search_path)
    wrong = [each for pd in system.protection_domains for each in _of_domain(system, said, context, pd)]
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
    system: SystemDescription, said: Extensions, context: Context, pd: ProtectionDomain
) -> Iterator[Diagnostic]:  # fmt: skip
    others = [other.program for other in said.alternatives if other.pd == pd.name]
    for program in dict.fromkeys((pd.program.path, *others)):
        for point in entry_points(group=GROUP):
            name, _, variable = point.name.partition(".")
            if program == f"{name}{ELF_SUFFIX}" and _is_installed(context, program):
                yield from _judged(system, context, pd, point, variable)


def _is_installed(context: Context, program: str) -> bool:
    """Whether it is the installed program, and no other of that name on the search path."""
    return find_image(context, program) == find_image(Context(platform=context.platform), program)


def _judged(
    system: SystemDescription, context: Context, pd: ProtectionDomain, point: EntryPoint, variable: str
) -> Iterator[Diagnostic]:  # fmt: skip
    regions = (system.region(map_.region) for map_ in pd.maps if map_.setvar_vaddr == variable)
    prefill = next((region.prefill for region in regions), None)
    if not isinstance(prefill, FilePrefill):
        return
    file = str(context.find(prefill.path) or prefill.path)
    for wrong in _wrong(point, prefill.data, system, pd):
        yield Diagnostic(Location(file, wrong.line), f"'{pd.name}': {wrong.message}", wrong.hint)


def _wrong(
    point: EntryPoint, data: bytes, system: SystemDescription, pd: ProtectionDomain
) -> Iterator[Wrong]:  # fmt: skip
    try:
        text = _text(data)
    except UnicodeDecodeError as error:
        yield Wrong(data[: error.start].count(b"\n") + 1, "the table is no UTF-8", "a text")
        return
    judge: Judge = point.load()
    try:
        yield from judge(_given(text, system, pd))
    except ValueError as error:
        yield Wrong(line_in(str(error)), str(error))
    except RecursionError:
        yield Wrong(0, "the table is nested too deeply to be read")


def _given(text: str, system: SystemDescription, pd: ProtectionDomain) -> Given:
    ends = (end for channel in system.channels for end in (channel.a, channel.b) if end.pd == pd.name)
    interrupts = frozenset(irq.id for irq in pd.irqs)
    return Given(
        text, frozenset(patch.symbol for patch in symbol_patches(system, pd)),
        interrupts | {end.id for end in ends}, interrupts, dict(_tables(system, pd)),
    )  # fmt: skip


def _tables(system: SystemDescription, pd: ProtectionDomain) -> Iterator[tuple[str, str]]:
    """What files put into a domain's memory, if it is a text: the variable that is set to where, and the text."""
    for map_ in pd.maps:
        prefill = system.region(map_.region).prefill
        if map_.setvar_vaddr and isinstance(prefill, FilePrefill):
            with suppress(UnicodeDecodeError):
                yield map_.setvar_vaddr, _text(prefill.data)


def _text(data: bytes) -> str:
    """Raises UnicodeDecodeError."""
    return data.rstrip(b"\0").decode()
