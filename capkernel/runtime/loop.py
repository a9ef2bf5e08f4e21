"""The loop: run the current thread until it traps, give the trap to the kernel, again.

A CPU model is anything with ``run(thread) -> Trap``. Time passes in three ways: a thread computes, a system call or
a unit of a long operation costs what ``Costs`` says, or everybody waits and the clock jumps to the next event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from capkernel.abi.registers import SYSCALL_REGISTER
from capkernel.abi.words import signed
from capkernel.kernel import syscall
from capkernel.kernel.objects import TCB
from capkernel.kernel.state import State
from capkernel.runtime.workclock import WorkClock
from hwmodel.cpu import trap as traps
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from hwmodel.timer import NEVER


class CPU(Protocol):
    """A CPU model's glue."""

    def run(self, thread: TCB) -> Trap:
        """Run the thread from its registers until something traps; leave its registers up to date."""


@dataclass(frozen=True)
class Costs:
    """Virtual time, in ticks of 100 ns, that the kernel takes."""

    syscall: int = 0
    """Each system call, fault or other exception."""
    work_unit: int = 0
    """Each unit of a long operation; charged at preemption points, for all units since the last one."""
    interrupt: int = 0
    """From an interrupt to the kernel's look at the clock."""
    leave: int = 0
    """Going back to user code after any trap; charged to the thread that goes on."""


DEFAULT_COSTS = Costs(syscall=10, work_unit=1)
"""A microsecond for a system call: of the order of what the real kernel takes on the machines of the field."""

FOREVER = 1 << 55
"""Ticks: 114 years. When nothing happens for so long, nothing ever will."""

HostHandler = Callable[[TCB, int], bool]
"""Called when a program speaks to its driver; false ends the run."""


class Loop:
    """A kernel on a machine with a CPU.

    ``entries`` counts kernel entries. ``before`` and ``observers`` are called with the trap at each, before and
    after the kernel has seen it. ``stop_reason``, if set, is asked before each turn: a word ends the run.
    """

    def __init__(
        self, state: State, machine: Machine, cpu: CPU, costs: Costs | None = None, on_host: HostHandler | None = None
    ) -> None:
        self.state = state
        self.machine = machine
        self.cpu = cpu
        self.costs = costs or Costs()
        self.on_host = on_host
        self.entries = 0
        self.before: list[Callable[[Trap], None]] = []
        self.observers: list[Callable[[Trap], None]] = []
        self.stop_reason: Callable[[], str | None] | None = None
        if self.costs.work_unit:
            clock = WorkClock(state, machine, self.costs.work_unit)
            state.machine = clock
            self.before.append(clock.enter)

    def run(self, *, until: int | None = None, max_entries: int | None = None) -> str:
        """Run until nothing can happen any more.

        Returns why it stopped: idle, halted, host, time, entries, or what ``stop_reason`` said.
        """
        state, machine = self.state, self.machine
        machine.stop_at = NEVER if until is None else until
        last_entry = None if max_entries is None else self.entries + max_entries
        while not machine.halted:
            if self.stop_reason is not None and (reason := self.stop_reason()) is not None:
                return reason
            if until is not None and machine.now() >= until:
                return "time"
            if last_entry is not None and self.entries >= last_entry:
                return "entries"
            if machine.irq_pending():
                self.enter(traps.STOP_INTERRUPTED)
                continue
            if state.current is state.idle:
                if not self._wait(until):
                    return "idle"
                continue
            trap = self.cpu.run(state.current)
            if trap.kind == traps.HOST:
                if self.on_host is None or not self.on_host(state.current, trap.value):
                    return "host"
            elif trap.kind != traps.INTERRUPTED:
                self.enter(trap)
        return "halted"

    def enter(self, trap: Trap) -> None:
        """Give one trap to the kernel."""
        self.entries += 1
        state = self.state
        for observer in self.before:
            observer(trap)
        if trap.kind == traps.INTERRUPTED:
            self._take_interrupt()
        else:
            if self.costs.syscall:
                self.machine.advance(self.costs.syscall)
            if trap.kind == traps.ECALL:
                syscall.handle_syscall(state, signed(state.current.registers[SYSCALL_REGISTER]))
            elif trap.kind == traps.PAGE_FAULT:
                syscall.handle_vm_fault(state, trap.cause, trap.value)
            else:
                syscall.handle_user_exception(state, trap.cause)
        if self.costs.leave:
            self.machine.advance(self.costs.leave)
        self.machine.clear_reservation()
        for observer in self.observers:
            observer(trap)

    def _take_interrupt(self) -> None:
        self.machine.advance(self.costs.interrupt)
        self.machine.interrupt_taken()
        syscall.handle_interrupt(self.state)

    def _wait(self, until: int | None) -> bool:
        """Let the clock jump to the next event, not beyond ``until``; false if there will be none."""
        upcoming, now = self.machine.next_event(), self.machine.now()
        if upcoming is None or upcoming - now >= FOREVER:
            return False
        self.machine.advance((upcoming if until is None else min(upcoming, until)) - now)
        return True
