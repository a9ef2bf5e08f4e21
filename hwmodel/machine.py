"""A whole machine: a board's RAM, MMU, interrupt controller, clock and devices, wired together.

The machine has three sides: the kernel's (interrupts, time, physical memory, address spaces), a
CPU's (loads, stores, fetches, the passing of time) and the outside's (input, snapshots). It starts
nothing by itself and knows no time but the ticks it is given.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hwmodel.backend import Backend, BufferBackend
from hwmodel.board import Board
from hwmodel.bus import Bus
from hwmodel.devices import FACTORIES
from hwmodel.events import EventQueue
from hwmodel.interrupts import CONTROLLERS
from hwmodel.iommu import Iommu
from hwmodel.loadstore import LoadStoreUnit
from hwmodel.memory import MemorySnapshot
from hwmodel.mmu import Mmu
from hwmodel.stateful import Saveable, Saved, Stateful
from hwmodel.timer import NEVER, KernelTimer
from hwmodel.tracked_memory import open_memory
from hwmodel.wiring import DeviceFactory, InputDevice, MachineDevice, Wiring


@dataclass(frozen=True, slots=True)
class MachineSnapshot:
    """A saved machine: RAM, and the state of every other part by name."""

    board: str
    memory: MemorySnapshot
    parts: dict[str, Saved]


class _Power(Stateful):
    """Whether the kernel has halted the machine."""

    __slots__ = ("halted",)
    STATE = ("halted",)

    def __init__(self) -> None:
        self.halted = False


class Machine:
    """A machine after `board`, with `ram_size` bytes of RAM if that is given.

    `uart_backend` is the far end of the serial line and `console` takes the kernel's debug output;
    both are buffers unless given. `devices` replaces, by window name, what the board's device kinds
    say should be built.

    `stop_at` is the tick at which whoever drives the machine wants it back from a CPU model; it is no
    part of the machine's state.

    These bound methods of the parts are part of the interface (no further call on the hot path):
    `read_word(paddr)`, `write_word(paddr, value)`, `read_bytes(paddr, size)`,
    `write_bytes(paddr, data)` and `clear(paddr, size)` of `Memory`; `set_vspace(root_paddr, asid)`,
    `flush_all()`, `flush_asid(asid)` and `flush_page(asid, vaddr)` of `Mmu`; `load(vaddr, size)`,
    `store(vaddr, size, value)`, `fetch(vaddr)`, `amo(operation, vaddr, size, value)`,
    `load_reserved(vaddr, size)`, `store_conditional(vaddr, size, value)` and
    `clear_reservation()` of `LoadStoreUnit`.
    """

    def __init__(
        self,
        board: Board,
        *,
        ram_size: int | None = None,
        uart_backend: Backend | None = None,
        console: Backend | None = None,
        devices: Mapping[str, DeviceFactory] | None = None,
    ) -> None:
        self.board = board if ram_size is None else board.with_ram(ram_size)
        self.memory = open_memory(self.board.ram.base, self.board.ram.size)
        self.bus = Bus(self.memory)
        self.mmu = Mmu(self.bus)
        self.lsu = LoadStoreUnit(self.bus, self.mmu)
        self.irqchip = CONTROLLERS[board.interrupt_controller](board.irq_sources)
        self.timer = KernelTimer()
        self.events = EventQueue(self.timer)
        tables = board.iommu_tables
        self.iommu = Iommu(self.memory, tables.base) if tables else None
        self.uart_backend = uart_backend or BufferBackend()
        self.console = console or BufferBackend()
        self._power = _Power()
        self.stop_at = NEVER
        self._timer_irq = board.timer_irq
        self.devices = self._build_devices(devices or {})
        self._inputs = [device for device in self.devices.values() if isinstance(device, InputDevice)]
        self._parts = self._stateful_parts()
        self._bind_hot_methods()

    def _build_devices(self, special: Mapping[str, DeviceFactory]) -> dict[str, MachineDevice]:
        unknown = special.keys() - {window.name for window in self.board.devices}
        if unknown:
            raise ValueError(f"the board has no device windows named {sorted(unknown)}")
        wiring = Wiring(
            memory=self.memory,
            set_irq_level=self.irqchip.set_level,
            events=self.events,
            iommu=self.iommu,
            uart_backend=self.uart_backend,
            on_dma_write=self.lsu.clear_reservation,
        )
        built: dict[str, MachineDevice] = {}
        for window in self.board.devices:
            factory = special.get(window.name) or FACTORIES[window.kind]
            built[window.name] = factory(window, wiring)
            self.bus.attach(window.region.base, window.region.size, built[window.name])
        return built

    def _bind_hot_methods(self) -> None:
        memory, mmu, lsu = self.memory, self.mmu, self.lsu
        self.read_word, self.write_word = memory.read_word, memory.write_word
        self.read_bytes, self.write_bytes = memory.read, memory.write
        self.clear = memory.clear
        self.set_vspace = mmu.set_vspace
        self.flush_all, self.flush_asid = mmu.flush_all, mmu.flush_asid
        self.flush_page = mmu.flush_page
        self.load, self.store, self.fetch = lsu.load, lsu.store, lsu.fetch
        self.amo = lsu.amo
        self.load_reserved, self.store_conditional = lsu.load_reserved, lsu.store_conditional
        self.clear_reservation = lsu.clear_reservation

    # The kernel's side: time and interrupts

    def now(self) -> int:
        """Return the current tick (100 ns each)."""
        return self.timer.now

    def irq_pending(self) -> bool:
        """Say whether `claim_irq` would return an interrupt."""
        timer = self.timer
        return (timer.now >= timer.deadline and not timer.masked) or self.irqchip.pending()

    def interrupt_taken(self) -> None:
        """A hart takes an interrupt. Two at one tick cost that tick, so time goes on even if one is raised early."""
        timer = self.timer
        if timer.last_taken == timer.now:
            self.advance(1)
        timer.last_taken = timer.now

    def claim_irq(self) -> int:
        """Take the next interrupt, or return 0.

        The kernel's own timer comes first, as `board.timer_irq`; it stays pending until the
        deadline is set anew or the interrupt is masked. Then the lowest-numbered device source.
        """
        return self._timer_irq if self.timer.timer_pending() else self.irqchip.claim()

    def complete_irq(self, irq: int) -> None:
        """End the service of a claimed interrupt; nothing to do for the kernel's timer.

        A PLIC ignores it for a source that is masked meanwhile.
        """
        if irq != self._timer_irq:
            self.irqchip.complete(irq)

    def mask_irq(self, irq: int, masked: bool) -> None:
        """Hold back an interrupt or let it through. Device sources start masked, the timer not."""
        if irq == self._timer_irq:
            self.timer.masked = masked
        else:
            self.irqchip.set_enabled(irq, not masked)

    def set_irq_trigger(self, irq: int, edge: bool) -> None:
        """Make a device source edge-triggered, or level-triggered as at first."""
        self.irqchip.set_trigger(irq, edge)

    def set_deadline(self, tick: int | None) -> None:
        """Raise the kernel's timer interrupt at `tick`; None turns it off."""
        self.timer.set_deadline(tick)

    # The kernel's side: console, power, IOMMU

    def put_char(self, code: int) -> None:
        """Write one byte to the kernel's debug console."""
        self.console.write(code & 0xFF)

    def halt(self) -> None:
        """Stop the machine: `halted` is true from now on."""
        self._power.halted = True

    @property
    def halted(self) -> bool:
        """Whether the kernel has halted the machine."""
        return self._power.halted

    def iommu_set_context(self, request_id: int, domain_id: int, root_paddr: int | None, levels: int) -> None:
        """See `Iommu.set_context`. Raises ValueError on a board without an IOMMU."""
        self._require_iommu().set_context(request_id, domain_id, root_paddr, levels)

    def iommu_invalidate(self, domain_id: int) -> None:
        """See `Iommu.invalidate`. Raises ValueError on a board without an IOMMU."""
        self._require_iommu().invalidate(domain_id)

    def _require_iommu(self) -> Iommu:
        if self.iommu is None:
            raise ValueError(f"board {self.board.name} has no IOMMU")
        return self.iommu

    # A CPU's side

    def advance(self, ticks: int) -> None:
        """Let time pass; device events due by then happen in order, each at its own tick."""
        timer = self.timer
        until = timer.now + ticks
        upcoming = self.events.next_event()
        if upcoming is None or upcoming > until:
            timer.now = until
        else:
            self.events.run_events(until)

    def must_stop(self) -> bool:
        """Say whether a CPU model is to return: an interrupt is pending, or `stop_at` has come."""
        return self.timer.now >= self.stop_at or self.irq_pending()

    def next_stop(self) -> int:
        """Return the tick up to which a CPU model may compute at once; then it asks `must_stop`."""
        timer, device = self.timer, self.events.next_event()
        stop = self.stop_at if timer.masked else min(timer.deadline, self.stop_at)
        return stop if device is None else min(device, stop)

    def next_event(self) -> int | None:
        """Return the next tick at which something happens unless the CPU causes it: a device event
        or the kernel's deadline (which may have passed already); None if nothing will.
        """
        device, deadline = self.events.next_event(), self.timer.next_event()
        if device is None or deadline is None:
            return deadline if device is None else device
        return min(device, deadline)

    # The outside's side

    def poll_input(self) -> int:
        """Let all devices take in what has arrived for them; return how many bytes and frames that was.

        This is an input of a run: it happens only when called.
        """
        return sum(device.poll() for device in self._inputs)

    def snapshot(self) -> MachineSnapshot:
        """Save the machine. Takes time for the RAM pages in use, not for the size of RAM."""
        parts = {name: part.snapshot() for name, part in self._parts.items()}
        return MachineSnapshot(self.board.name, self.memory.snapshot(), parts)

    def restore(self, saved: MachineSnapshot) -> None:
        """Go back to a saved state; from there the same inputs give the same behaviour.

        Snapshots may be restored in any order, also into another machine of the same make. An
        emulator that keeps translations of code or of page tables must drop them.
        """
        if saved.board != self.board.name:
            raise ValueError(f"a snapshot of {saved.board} does not fit {self.board.name}")
        self.memory.restore(saved.memory)
        for name, part in self._parts.items():
            part.restore(saved.parts[name])

    def attach(self, name: str, part: Stateful) -> None:
        """Make something else a part of the machine's state from now on, as a CPU's counter."""
        self._parts[name] = part

    def digest(self) -> bytes:
        """Return a SHA-256 of all state; equal machines have equal digests."""
        digest = hashlib.sha256(self.memory.content_digest())
        for name, part in self._parts.items():
            digest.update(f"{name}={part.snapshot()!r};".encode())
        return digest.digest()

    def _stateful_parts(self) -> dict[str, Saveable]:
        """Return, by name, all parts besides RAM that have a state."""
        parts: dict[str, Saveable] = {
            "power": self._power,
            "timer": self.timer,
            "events": self.events,
            "irqchip": self.irqchip,
            "mmu": self.mmu,
            "lsu": self.lsu,
            "uart_backend": self.uart_backend,
            "console": self.console,
        }
        if self.iommu is not None:
            parts["iommu"] = self.iommu
        parts.update((f"device {name}", device) for name, device in self.devices.items())
        return {name: part for name, part in parts.items() if getattr(part, "STATE", True)}
