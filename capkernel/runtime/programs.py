"""Finding and loading the programs of a description's protection domains: machine code, or Python in its place."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Final

from attrs import evolve, frozen

from capkernel.system.context import Context
from capkernel.system.description import LineIrq, ProgramImage, ProtectionDomain, SystemDescription
from capkernel.system.diagnostics import DescriptionError, Diagnostic
from capkernel.system.elf import Elf, ElfError, ElfSegment, read_elf, read_program
from capkernel.system.images import PYTHON_SUFFIX, WORD_BYTES, find_image, spawnable_programs
from capkernel.system.lives import Alternative
from capkernel.system.symbols import symbol_patches
from capkernel.user.initialiser.plan import PAGE, Image
from capkernel.user.loop import program
from capkernel.user.pdimage import PDValues, load_module, variable_words
from capkernel.user.process import process_program
from hwmodel.cpu.program import ProgramTable, image

CODE_BASE: Final = 0x200000
"""Where a Python program's page lies, unless the description maps something there."""
OPTIONAL_SYMBOLS: Final = frozenset(("microkit_ioports",))
"""What older versions of libmicrokit have not got; it matters on x86 only."""


def load_programs(
    system: SystemDescription, alternatives: Iterable[Alternative], search_path: Sequence[Path], table: ProgramTable
) -> "Mapping[str, tuple[PythonProgram | MachineCode, ...]]":
    """Load each domain's program and its alternatives, in order, as modules of their own into the CPU's table.

    Raises DescriptionError, with every domain of which a program is missing or cannot be run here.
    """
    further: dict[str, list[ProgramImage]] = {}
    for found in alternatives:
        further.setdefault(found.pd, []).append(ProgramImage(path=found.program, where=found.where))
    complaints = [problem for pd in system.protection_domains for problem in _unsupported(pd)]
    programs: dict[str, list[PythonProgram | MachineCode]] = {}
    for pd in system.protection_domains:
        programs[pd.name] = []
        for number, program_image in enumerate((pd.program, *further.get(pd.name, ()))):
            module = f"capkernel_pd_{pd.name}_{number}" if number else f"capkernel_pd_{pd.name}"
            try:
                loaded = _load(system, evolve(pd, program=program_image), search_path, table, module)
                programs[pd.name].append(loaded)
            except ValueError as error:
                complaints.append(Diagnostic(where=program_image.where, message=f"{pd.name}: {error}"))
    if complaints:
        raise DescriptionError(complaints)
    return {name: tuple(found) for name, found in programs.items()}


def load_spawnable(table: ProgramTable) -> dict[str, bytes]:
    """Enter all installed programs that can be started while a system runs; returns their images by name.

    One is loaded when it is started, each time anew, so that no two processes share its variables.
    """
    return {
        name: image(table.add(process_program(name, partial(load_module, path, f"capkernel_process_{name}"))))
        for name, path in sorted(spawnable_programs().items())
    }


@frozen
class PythonProgram:
    """A program in the coroutine CPU's table; its image is a page at ``address``."""

    number: int
    hooks: ModuleType
    address: int

    @property
    def pages(self) -> tuple[range, ...]:
        """The one page."""
        return (range(self.address, self.address + PAGE, PAGE),)

    def image(self, values: PDValues, settings: Mapping[str, int]) -> Image:
        """The page, with the values of the program's variables."""
        words = evolve(values, variables=variable_words(self.hooks, settings)).encode()
        return Image(self.address, (ElfSegment(self.address, image(self.number, words), PAGE, executable=True),))

    def name_of(self, address: int) -> str:
        """Nothing: the traceback says where a Python program was."""
        return ""


@frozen
class MachineCode:
    """An ELF program, linked with libmicrokit. ``named`` is the file whose symbols count."""

    elf: Elf
    named: Elf

    @property
    def pages(self) -> tuple[range, ...]:
        """The pages of each segment."""
        return tuple(segment.pages for segment in self.elf.segments)

    def check_pages(self, limit: int) -> None:
        """Raise ElfError if two segments touch the same page, or one lies at ``limit`` or above, where the stack is."""
        ordered = sorted(self.elf.segments, key=lambda segment: segment.vaddr)
        for one, other in pairwise(ordered):
            if one.pages[-1] == other.pages[0]:
                both = f"{one.vaddr:#x} and {other.vaddr:#x}"
                raise ElfError(f"its segments at {both} share a page; align the second to {PAGE:#x} when linking")
        end = ordered[-1].addresses.stop
        if end > limit:
            raise ElfError(f"it ends at {end:#x}, in the stack, which begins at {limit:#x}")

    def image(self, values: PDValues, settings: Mapping[str, int]) -> Image:
        """The segments with the symbols set. Raises ElfError if one cannot be."""
        contents = {segment: bytearray(segment.data) for segment in self.elf.segments}
        words = {name: value.to_bytes(WORD_BYTES, "little") for name, value in settings.items()}
        for name, data in (values.symbols() | words).items():
            if name in self.named.symbols or name not in OPTIONAL_SYMBOLS:
                _set(contents, name, self._place(name, len(data)), data)
        return Image(self.elf.entry, tuple(evolve(segment, data=bytes(data)) for segment, data in contents.items()))

    def _place(self, name: str, size: int) -> int:
        """The address of a symbol that has room for so many bytes. Raises ElfError."""
        hint = "; is it linked with libmicrokit?" if name.startswith("microkit_") else ""
        symbol = self.named.symbols.get(name)
        if symbol is None:
            raise ElfError(f"it has {'several symbols' if name in self.named.symbols else 'no symbol'} '{name}'{hint}")
        if symbol.size < size:
            raise ElfError(f"its symbol '{name}' has {symbol.size} bytes, but {size} are set")
        return symbol.value

    def name_of(self, address: int) -> str:
        """The function, and the bytes from its start."""
        found = self.named.symbol_at(address)
        return f"{found[0]}+{found[1]:#x}" if found else ""


def _set(contents: dict[ElfSegment, bytearray], name: str, vaddr: int, data: bytes) -> None:
    """Put bytes at an address, in what the file has or in the zeros behind. Raises ElfError if it is in no segment."""
    for segment, content in contents.items():
        start = vaddr - segment.vaddr
        if start >= 0 and start + len(data) <= segment.memory_size:
            content.extend(bytes(max(0, start + len(data) - len(content))))
            content[start : start + len(data)] = data
            return
    raise ElfError(f"its symbol '{name}' at {vaddr:#x} is in none of its segments")


def free_page(system: SystemDescription, pd: ProtectionDomain) -> int:
    """Where a Python program lies: the first page from ``CODE_BASE`` on that no mapping covers."""
    maps = [range(m.vaddr, m.vaddr + system.region(m.region).size) for m in pd.maps]
    address = CODE_BASE
    while any(address < taken.stop and taken.start < address + PAGE for taken in maps):
        address += PAGE
    return address


def _unsupported(pd: ProtectionDomain) -> list[Diagnostic]:
    """What the format allows but this machine has not got."""
    wanted = [
        (pd.ioports, "has I/O ports, which only x86 machines have"),
        (pd.virtual_machine, "has a virtual machine; this machine has no hypervisor mode"),
        (pd.smc, "makes secure monitor calls, which only Arm machines answer"),
        ([irq for irq in pd.irqs if not isinstance(irq, LineIrq)], "has x86 interrupts; this machine has a PLIC"),
        (pd.cpu, f"runs on core {pd.cpu}; this machine has one core"),
    ]
    return [Diagnostic(where=pd.where, message=f"{pd.name} {what}") for thing, what in wanted if thing]


def _load(
    system: SystemDescription, pd: ProtectionDomain, search_path: Sequence[Path], table: ProgramTable, module: str
) -> PythonProgram | MachineCode:
    context = Context(platform=system.platform, search_path=search_path)
    path = find_image(context, pd.program.path)
    if path is None:
        wanted = pd.program.path.removesuffix(".elf") + PYTHON_SUFFIX
        places = ", ".join(map(str, search_path))
        raise ValueError(f"its program {pd.program.path} (or {wanted} in its place) is not in {places}, nor installed")
    values = PDValues(name=pd.name)
    if path.suffix != PYTHON_SUFFIX:
        try:
            return _machine_code(system, pd, path, _symbol_file(context, pd, path))
        except (ElfError, OSError) as error:
            raise ValueError(f"{path} cannot be loaded: {error}") from None
    try:
        hooks = load_module(path, module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    # Whatever will be set must have a place; what it is set to does not matter here.
    variable_words(hooks, {patch.symbol: 0 for patch in symbol_patches(system, pd)})
    values.encode()
    return PythonProgram(table.add(program(hooks, partial(load_module, path, module))), hooks, free_page(system, pd))


def _symbol_file(context: Context, pd: ProtectionDomain, path: Path) -> Path:
    """Where the symbols are: in the program, unless the description names another file that is there."""
    named = pd.program.path_for_symbols
    return (named and find_image(context, named)) or path


def _machine_code(system: SystemDescription, pd: ProtectionDomain, path: Path, symbol_file: Path) -> MachineCode:
    """Load an ELF program. Raises ElfError, OSError or ValueError."""
    elf = read_program(path.read_bytes())
    named = elf if symbol_file == path else read_elf(symbol_file.read_bytes())
    loaded = MachineCode(elf, named)
    loaded.check_pages(system.platform.map_end(pd.stack_size))
    # As for Python.
    loaded.image(PDValues(name=pd.name), {patch.symbol: 0 for patch in symbol_patches(system, pd)})
    return loaded
