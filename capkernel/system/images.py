"""Program images that are present on the search path, or installed: their symbols and segments.

An image is an ELF file or, in place of ``x.elf``, a Python program ``x.py`` whose symbols are
its annotated module-level names. What is on the search path in neither form may be installed:
then ``x`` is an entry point of the group ``capkernel.programs``, which names a module. A missing
image is no problem here: a description is judged before anything was compiled.
"""

import ast
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

from capkernel.abi.objects import PAGE_BYTES
from capkernel.system.context import Context
from capkernel.system.description import ProtectionDomain, SystemDescription
from capkernel.system.elf import ElfError, ElfSegment, ElfSymbol, read_elf
from capkernel.system.python_symbols import python_symbols
from capkernel.system.symbols import symbol_patches

WORD_BYTES = 8
ELF_SUFFIX = ".elf"
PYTHON_SUFFIX = ".py"
PROGRAMS = "capkernel.programs"
"""The group of entry points by which packages offer programs: a name, and a module."""


@frozen(kw_only=True)
class Image:
    """What of a program image matters here. A symbol is ``None`` when it is ambiguous."""

    path: Path
    symbols: dict[str, ElfSymbol | None]
    segments: tuple[range, ...] = ()


class ImageError(Exception):
    """A file is there but is no program image; the message says why."""


def find_image(context: Context, path: str) -> Path | None:
    """The file for an image path as written in a description, or ``None``."""
    names = [path]
    if path.endswith(ELF_SUFFIX):
        names.append(path.removesuffix(ELF_SUFFIX) + PYTHON_SUFFIX)
    found = (context.find(name) for name in names)
    return next((path for path in found if path and path.is_file()), None) or _installed(path)


def _installed(path: str) -> Path | None:
    """The file of the module that an installed package offers as this program; it is not executed."""
    entries = _offered(tuple(sys.path)).select(name=path.removesuffix(ELF_SUFFIX))
    return next((found for found in map(_file_of, entries) if found), None)


def _file_of(entry: EntryPoint) -> Path | None:
    """The file of an entry point's module."""
    try:
        spec = find_spec(entry.module)
    except ImportError:
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(PYTHON_SUFFIX):
        return None
    return Path(spec.origin)


@lru_cache(maxsize=1)
def _offered(search_path: tuple[str, ...]) -> EntryPoints:
    """The programs of the packages that are installed along a search path of Python's."""
    return entry_points(group=PROGRAMS)


def spawnable_programs() -> dict[str, Path]:
    """The installed programs that can be started while a system runs: those with a function ``main``, not executed."""
    files: dict[str, Path] = {}
    for entry in _offered(tuple(sys.path)):
        path = _file_of(entry)
        if path is not None:
            files.setdefault(entry.name, path)
    return {name: path for name, path in files.items() if _has_main(path)}


@lru_cache(maxsize=1024)
def _has_main(path: Path) -> bool:
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return False
    return any(isinstance(each, ast.AsyncFunctionDef) and each.name == "main" for each in module.body)


def read_image(path: Path) -> Image:
    """The symbols and segments of an image; ``ImageError`` when it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from None
    if path.suffix == PYTHON_SUFFIX:
        return Image(path=path, symbols=_python_symbols(path))
    try:
        elf = read_elf(data)
    except ElfError as error:
        raise ImageError(f"is not an ELF program for a 64-bit machine: {error}") from None
    if not elf.symbols:
        raise ImageError("is not an ELF program for a 64-bit machine: it has no symbol table")
    return Image(path=path, symbols=elf.symbols, segments=tuple(_pages(segment) for segment in elf.segments))


def _pages(segment: ElfSegment) -> range:
    """The addresses that no map may touch."""
    return range(segment.pages.start, -(-segment.pages.stop // PAGE_BYTES) * PAGE_BYTES)


def _python_symbols(path: Path) -> dict[str, ElfSymbol | None]:
    """What can be set in a Python program, each as large as a word."""
    try:
        return dict.fromkeys(python_symbols(path), ElfSymbol(0, WORD_BYTES))
    except (SyntaxError, ValueError) as error:
        raise ImageError(f"is not a Python program: {error}") from None


def check_images(system: SystemDescription, context: Context) -> None:
    """Note every symbol that an image has not got, and every map that covers its program."""
    for pd in system.protection_domains:
        program = _image(context, pd, pd.program.path)
        for_symbols = program
        if pd.program.path_for_symbols is not None:
            for_symbols = _image(context, pd, pd.program.path_for_symbols)
        if for_symbols:
            _check_symbols(system, context, pd, for_symbols)
        if program:
            _check_segments(system, context, pd, program)


def _image(context: Context, pd: ProtectionDomain, path: str) -> Image | None:
    found = find_image(context, path)
    if found is None:
        return None
    try:
        return read_image(found)
    except ImageError as error:
        context.problems.error(pd.program.where, f"the program image {found} {error}")
        return None


def _check_symbols(system: SystemDescription, context: Context, pd: ProtectionDomain, image: Image) -> None:
    regions = {region.name for region in system.memory_regions}
    for patch in symbol_patches(system, pd):
        error = _symbol_error(image, patch.symbol)
        if error:
            context.problems.error(patch.where, f"{patch.kind.value}: {image.path} {error}")
        if patch.region is not None and patch.region not in regions:
            message = f"region_paddr: there is no memory region '{patch.region}'"
            context.problems.error(patch.where, message)


def _symbol_error(image: Image, name: str) -> str:
    """Why a symbol of the image cannot be set, or nothing."""
    if name not in image.symbols:
        return f"has no symbol '{name}'"
    symbol = image.symbols[name]
    if symbol is None:
        return f"has several symbols '{name}'"
    if symbol.size != WORD_BYTES:
        return f"has a symbol '{name}' of {symbol.size} bytes, but a word of {WORD_BYTES} is set"
    return ""


def _check_segments(system: SystemDescription, context: Context, pd: ProtectionDomain, image: Image) -> None:
    for map_ in pd.maps:
        start = map_.vaddr
        end = start + system.region(map_.region).size
        for segment in image.segments:
            if start < segment.stop and end > segment.start:
                context.problems.error(
                    map_.where,
                    f"'{map_.region}' at [{start:#x}, {end:#x}) overlaps with the program of "
                    f"'{pd.name}' at [{segment.start:#x}, {segment.stop:#x})",
                )
