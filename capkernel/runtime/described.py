"""Running a described system: its programs on the CPUs that they are for, its initial task building it by invocations.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from capkernel.kernel.boot import RootImage, boot
from capkernel.kernel.caps import PageTableCap, ThreadCap
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.objects import TCB, Cap
from capkernel.runtime.coroutine import CoroutineGlue
from capkernel.runtime.limits import require_machine, require_room
from capkernel.runtime.loop import DEFAULT_COSTS, Loop
from capkernel.runtime.mixed import MixedGlue
from capkernel.runtime.platform import PRESETS, configure
from capkernel.runtime.programs import MachineCode, load_programs, load_spawnable
from capkernel.runtime.serial import SerialInput, run_with_input
from capkernel.system.authority import Node
from capkernel.system.description import SystemDescription
from capkernel.system.diagnostics import DescriptionError, Diagnostic
from capkernel.system.extensions import Extensions
from capkernel.system.spawnable import ProgramsRegion, encode_table
from capkernel.user.initialiser.building import Building
from capkernel.user.initialiser.footprint import arena_bits
from capkernel.user.initialiser.plan import Plan, Program
from capkernel.user.initialiser.task import initial_task
from hwmodel.backend import Backend
from hwmodel.board import Board
from hwmodel.cpu.program import PAGE_SIZE, Crash, ProgramTable, image
from hwmodel.cpu.riscv.emulator import EmulatorError
from hwmodel.machine import Machine
from hwmodel.sv39 import walk
from hwmodel.wiring import DeviceFactory

ROOT_ENTRY = 0x10000
MAX_CLOCK_OFFSET = 10_000_000
"""Ticks: a seed chooses where in its first second the clock stands at boot."""


class DescribedSystem:
    """A system that boots as a description says.

    ``search_path`` is where ``x.elf``, or ``x.py`` in its place, is found; ``seed`` sets the clock at boot, which is
    the only thing that is not determined by the description; ``devices`` are plugged into the machine by window name.
    ``faults`` lists what the monitor saw: (domain, what it did); ``image`` is the initial task's; ``programs`` are
    those of each domain, its alternatives last; ``threads`` are the TCBs of the domains that have been started and not
    destroyed, by name; ``lives`` says at which tick which domain was started (True), or destroyed (False). ``memory``
    lists which domain or region has what memory, once all have been started, each with a cap to a piece of it.
    Raises DescriptionError if the machine or the programs are not what the description asks for.
    """

    def __init__(
        self, system: SystemDescription, board: Board, search_path: Sequence[Path], *,
        extensions: Extensions | None = None, seed: int = 0, uart: Backend | None = None,
        console: Backend | None = None, on_ready: Callable[[], None] | None = None, fdt: bytes = b"",
        devices: Mapping[str, DeviceFactory] | None = None,
    ) -> None:  # fmt: skip
        self.system = system
        self.extensions = said = extensions or Extensions()
        self.machine = Machine(board, uart_backend=uart, console=console, devices=devices)
        if seed < 0:
            raise ValueError(f"a seed is 0 or more, not {seed}")
        if seed:
            self.machine.advance(random.Random(seed).randrange(MAX_CLOCK_OFFSET))
        self.faults: list[tuple[str, str]] = []
        self.threads: dict[str, TCB] = {}
        self.lives: list[tuple[int, str, bool]] = []
        self.memory: list[tuple[Node, Cap]] = []
        debug = said.options.debug
        config = replace(configure(PRESETS["microkit"], board), debug=debug)
        require_machine(system, config)
        table = ProgramTable()
        self.programs = programs = load_programs(system, said.alternatives, search_path, table)
        contents = _contents(system, said.programs, table)
        self.cpu = (_loading_cpu if said.programs else _cpu)(self.machine, system, programs, table)
        plan = Plan(
            system=system, programs={name: found[0] for name, found in programs.items()},
            alternatives={name: found[1:] for name, found in programs.items()}, grants=said.grants,
            owners={owner.io_address_space: owner.pd for owner in said.owners}, contents=contents,
            ticks_per_us=board.timer_frequency // 1_000_000, fdt=fdt,
            debug=debug, on_fault=lambda pd, fault: self.faults.append((pd, fault)),
            on_start=self._started, on_end=self._ended,
        )  # fmt: skip
        require_room(system, {pd.name: 1 << arena_bits(plan, pd) for pd in system.protection_domains}, config)
        self.ready = False
        self._on_ready = on_ready
        root = image(table.add(initial_task(plan, self._ready)))
        self.image = RootImage(ROOT_ENTRY, ((ROOT_ENTRY, root, PAGE_SIZE),))
        self.state = boot(config, self.machine, self.image, fdt)
        # A program that speaks to its driver speaks to nobody here.
        self.loop = Loop(self.state, self.machine, self.cpu, DEFAULT_COSTS, lambda thread, value: True)
        self.started_at = 0

    def _started(self, name: str, tcb: int) -> None:
        """The initial task is the current thread, so this is an address in its CSpace."""
        cap = lookup_cap(self.state.current, tcb)
        if isinstance(cap, ThreadCap):
            self.threads[name] = cap.tcb
            self.lives.append((self.machine.now(), name, True))

    def _ended(self, name: str) -> None:
        """Nothing runs any more in the address space of a domain that will be destroyed."""
        thread = self.threads.pop(name, None)
        if thread is not None:
            self.lives.append((self.machine.now(), name, False))
        if thread is not None and isinstance(thread.vspace_slot.cap, PageTableCap):
            self.cpu.forget_space(thread.vspace_slot.cap.paddr)

    def _ready(self, built: Building) -> None:
        """The initial task is the current thread here, too."""
        self.memory = [(owner, lookup_cap(self.state.current, cap)) for owner, cap in built.memory()]
        self.ready = True
        self.started_at = self.machine.now()
        if self._on_ready is not None:
            self._on_ready()

    def run(self, *, time_us: int | None = None, source: SerialInput | None = None) -> str:
        """Run until nothing can happen any more, or for so many microseconds; returns why it stopped.

        ``source`` is what the serial line's backend reads from, if it reads from anything.
        """
        until = None
        if time_us is not None:
            until = self.machine.now() + time_us * (self.machine.board.timer_frequency // 1_000_000)
        if source is None:
            return self.loop.run(until=until)
        return run_with_input(self.loop, source, lambda: self.ready, until)

    def read_region(self, name: str) -> bytes:
        """What is in a memory region now: in the frames that the page tables of a domain map for it.

        Raises KeyError if no domain that was started maps it.
        """
        for pd in self.system.protection_domains:
            for mapping in pd.maps:
                if mapping.region == name and pd.name in self.threads:
                    return self._read_mapped(self.threads[pd.name], mapping.vaddr, self.system.region(name).size)
        raise KeyError(f"no domain maps a region {name!r}")

    def _read_mapped(self, thread: TCB, vaddr: int, size: int) -> bytes:
        content = bytearray()
        vspace = thread.vspace_slot.cap
        if not isinstance(vspace, PageTableCap):
            raise KeyError(f"{thread.name} has no address space any more")
        while len(content) < size:
            page = walk(self.machine.memory, vspace.paddr, vaddr + len(content))
            if page is None:
                raise KeyError(f"{vaddr + len(content):#x} is not mapped any more")
            content += self.machine.read_bytes(page.paddr, page.size)
        return bytes(content)

    @property
    def is_abandoned(self) -> bool:
        """Whether the initial task, which stays as the monitor, came to grief itself."""
        return self.state.initial.fault is not None

    @property
    def crashes(self) -> list[Crash]:
        """Python programs that ended with an exception, in order."""
        return self.cpu.crashes


def _contents(
    system: SystemDescription, places: Sequence[ProgramsRegion], table: ProgramTable
) -> dict[str, bytes]:
    """What regions are filled with by the runtime. Raises DescriptionError if it does not fit."""
    if not places:
        return {}
    content = encode_table(load_spawnable(table))
    for place in places:
        size = system.region(place.region).size
        if len(content) > size:
            message = f"the table of programs has {len(content)} bytes, and '{place.region}' has room for {size}"
            raise DescriptionError([Diagnostic(where=place.where, message=message)])
    return {place.region: content for place in places}


def _loading_cpu(
    machine: Machine, system: SystemDescription, programs: Mapping[str, Sequence[Program]], table: ProgramTable
) -> CoroutineGlue | MixedGlue:
    """The CPU for a system that loads further programs while it runs: machine code, too, if the emulator is there.

    If it is not, a process of machine code ends by an illegal instruction.
    """
    try:
        return MixedGlue(machine, table)
    except EmulatorError:
        return _cpu(machine, system, programs, table)


def _cpu(
    machine: Machine, system: SystemDescription, programs: Mapping[str, Sequence[Program]], table: ProgramTable
) -> CoroutineGlue | MixedGlue:
    """The CPU for these programs; the emulator is asked for only if one of them is machine code."""
    native = [pd for pd in system.protection_domains if any(isinstance(p, MachineCode) for p in programs[pd.name])]
    if not native:
        return CoroutineGlue(machine, table)
    try:
        return MixedGlue(machine, table)
    except EmulatorError as error:
        reasons = [Diagnostic(where=pd.program.where, message=f"{pd.name}: {error}") for pd in native]
        raise DescriptionError(reasons) from error
