"""Finding and loading the Python programs of a description's protection domains."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from capkernel.system.context import Context
from capkernel.system.description import LineIrq, ProtectionDomain, SystemDescription
from capkernel.system.diagnostics import DescriptionError, Diagnostic
from capkernel.system.images import PYTHON_SUFFIX, find_image
from capkernel.user.initialiser.plan import Program
from capkernel.user.loop import program
from capkernel.user.pdimage import PDValues, load_module, variable_words
from hwmodel.cpu.program import ProgramTable, image


def load_programs(system: SystemDescription, search_path: Sequence[Path], table: ProgramTable) -> Mapping[str, Program]:
    """Load each domain's program as a module of its own and enter it into the CPU's table.

    Raises DescriptionError, with every domain whose program is missing or cannot be run here.
    """
    complaints = [problem for pd in system.protection_domains for problem in _unsupported(pd)]
    programs: dict[str, Program] = {}
    for pd in system.protection_domains:
        try:
            programs[pd.name] = _load(system, pd, search_path, table)
        except ValueError as error:
            complaints.append(Diagnostic(where=pd.program.where, message=f"{pd.name}: {error}"))
    if complaints:
        raise DescriptionError(complaints)
    return programs


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


def _load(system: SystemDescription, pd: ProtectionDomain, search_path: Sequence[Path], table: ProgramTable) -> Program:
    path = find_image(Context(platform=system.platform, search_path=search_path), pd.program.path)
    if path is None:
        wanted = pd.program.path.removesuffix(".elf") + PYTHON_SUFFIX
        places = ", ".join(map(str, search_path))
        raise ValueError(f"its program {pd.program.path} (or {wanted} in its place) is not in {places}")
    if path.suffix != PYTHON_SUFFIX:
        raise ValueError(f"{path} is machine code; the coroutine CPU runs Python programs")
    try:
        hooks = load_module(path, f"capkernel_pd_{pd.name}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    variable_words(hooks, {})
    PDValues(name=pd.name).encode()
    number = table.add(program(hooks))
    return Program(image=partial(image, number), words=partial(variable_words, hooks))
