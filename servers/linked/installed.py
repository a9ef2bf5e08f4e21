"""Programs that can be parts: where each is, and what it must be to be one."""

from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from servers.linked.table import Described, TableError
from servers.neighbours import Uses

PROGRAMS: Final = "capkernel.programs"
"""The group of entry points by which programs are installed: a name, and a module."""


def file_of(part: Described) -> Path:
    """The file of a part's program. Raises TableError."""
    program = part.program
    found = [program] if "." in program else [entry.module for entry in entry_points(group=PROGRAMS, name=program)]
    try:
        spec = find_spec(found[0]) if found else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        near = get_close_matches(program, entry_points(group=PROGRAMS).names, 1)
        hint = f"there is {near[0]}" if near else "an installed program, or a module"
        raise TableError(f"{part.name}: no program is installed as {program!r}", (part.name, "program"), hint)
    return Path(spec.origin)


def installed_program(name: str) -> object:
    """The class of an installed program, or of what is installed as one; None if it has none."""
    for entry in entry_points(group=PROGRAMS, name=name):
        with suppress(ImportError):
            return getattr(import_module(entry.module), "Program", None)
    return None


def need_program(part: Described, module: ModuleType) -> None:
    """Raise TableError if a module's program cannot be a part."""
    if not hasattr(module, "Program"):
        what = f"{part.name}: {part.program} has no class Program, so it cannot be started twice"
        raise TableError(what, (part.name, "program"), "a program that is a class")


def uses_of(program: object) -> Uses | None:
    """What a program, or its class, declares of its channels; None if it declares nothing."""
    uses = getattr(program, "uses", None)
    return uses if isinstance(uses, Uses) else None


def need_served(part: Described, asked: Described, program: object) -> None:
    """Raise TableError if a part asks another whose program (or its class) serves nobody."""
    if not hasattr(program, "root"):
        what = f"{part.name} cannot ask {asked.name}, whose program {asked.program} serves nobody"
        raise TableError(what, (part.name,), "a program that is asked has a method root")
