"""What a run was made of: kernel entries by kind, instructions, and the host's time in kernel and in user code."""

from collections import Counter
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

from capkernel.abi import registers as reg
from capkernel.abi import syscalls
from capkernel.abi.labels import BY_LABEL
from capkernel.abi.message import info_label
from capkernel.abi.words import signed
from capkernel.kernel.caps import EndpointCap, NotificationCap, ReplyCap
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.errors import LookupFault
from capkernel.kernel.objects import TCB
from capkernel.runtime.loop import CPU
from capkernel.runtime.machine_code import MachineCodeSystem
from hwmodel.cpu.trap import ECALL, INTERRUPTED, PAGE_FAULT, Trap

_INVOKING = (syscalls.CALL, syscalls.SEND, syscalls.NBSEND)


class _TimedCPU:
    """A CPU, and how long it ran."""

    def __init__(self, cpu: CPU) -> None:
        self.cpu = cpu
        self.nanoseconds = 0

    def run(self, thread: TCB) -> Trap:
        """Run the thread until it traps."""
        before = perf_counter_ns()
        trap = self.cpu.run(thread)
        self.nanoseconds += perf_counter_ns() - before
        return trap


class Statistics:
    """Counts what a system does from now on."""

    def __init__(self, system: MachineCodeSystem) -> None:
        self.system = system
        self.entries: Counter[str] = Counter()
        self._cpu = _TimedCPU(system.loop.cpu)
        self._started = perf_counter_ns()
        self._ended = 0
        system.loop.cpu = self._cpu
        system.loop.before.append(self._count)

    def _count(self, trap: Trap) -> None:
        self.entries[self._kind(trap)] += 1

    def _kind(self, trap: Trap) -> str:
        if trap.kind == INTERRUPTED:
            return "interrupt"
        if trap.kind == PAGE_FAULT:
            return "VM fault"
        if trap.kind != ECALL:
            return "user exception"
        thread = self.system.state.current
        number = signed(thread.registers[reg.SYSCALL_REGISTER])
        name = syscalls.NAMES.get(number, "unknown system call")
        return self._invocation(thread) or name if number in _INVOKING else name

    def _invocation(self, thread: TCB) -> str | None:
        """The invocation that a Call or Send asks for, if it goes to the kernel."""
        try:
            cap = lookup_cap(thread, thread.registers[reg.CAP_REGISTER])
        except LookupFault:
            return None
        if isinstance(cap, EndpointCap | NotificationCap | ReplyCap):
            return None
        spec = BY_LABEL.get(info_label(thread.registers[reg.MSG_INFO_REGISTER]))
        return spec.name if spec else None

    def end(self) -> None:
        """The run is over."""
        self._ended = perf_counter_ns()

    def data(self) -> dict[str, Any]:
        """All of it; times in seconds of the host."""
        user = self._cpu.nanoseconds / 1e9
        total = (self._ended - self._started) / 1e9
        instructions = self.system.instructions
        return {
            "entries": dict(self.entries.most_common()), "kernel_entries": self.system.loop.entries,
            "instructions": instructions, "seconds": round(total, 3), "user_seconds": round(user, 3),
            "kernel_seconds": round(total - user, 3), "mips": round(instructions / user / 1e6, 1) if user else 0.0,
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """For people."""
        data = self.data()
        yield f"{'kernel entries':<28} {data['kernel_entries']:>12,}"
        for kind, count in self.entries.most_common():
            yield f"  {kind:<26} {count:>12,}"
        yield f"{'user instructions':<28} {data['instructions']:>12,}"
        speed = f"{data['mips']:,} million instructions a second"
        yield f"{'time in user code':<28} {data['user_seconds']:>12,.2f} s, {speed}"
        yield f"{'time in kernel and loop':<28} {data['kernel_seconds']:>12,.2f} s"
