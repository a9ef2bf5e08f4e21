"""Fault injection: a protection domain that goes wrong at a step of its own, in a way that can be repeated.

A step is a kernel entry that the domain's thread causes: a system call or a fault. They are counted from 1, through all
its lives, or through one of them. An ``Injector`` stands between the loop and the CPU; the kernel sees what it would
see if the code itself had gone wrong. A fault that could have no effect where it was to happen is not counted as
``activated``.
"""

import random
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen

from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK, signed
from capkernel.kernel.caps import PageTableCap, ReplyCap
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.errors import LookupFault
from capkernel.kernel.objects import TCB
from capkernel.runtime.described import DescribedSystem
from hwmodel.cpu import trap as traps
from hwmodel.cpu.trap import STOP_INTERRUPTED, Trap
from hwmodel.sv39 import mappings

_ILLEGAL: Final = Trap(traps.EXCEPTION, 2)
_WRITE: Final = 4
"""Bit of a page table entry: stores are allowed."""


class Kind(StrEnum):
    """What goes wrong at a step. (A reply cannot be sent twice: the first empties the reply object.)"""

    CRASH = "crash"
    """An illegal instruction instead of the system call."""
    HANG = "hang"
    """From here on the thread computes for ever."""
    WRONG_ANSWER = "wrong answer"
    """A reply: a bit of its label or of its first four words is inverted."""
    LOST_REPLY = "lost reply"
    """A reply is not sent; the thread goes on as if it were."""
    MEMORY = "bit flip"
    """A bit of the thread's writable memory, devices aside, is inverted before the step."""
    STRAY_STORE = "stray store"
    """A word of the thread's writable memory is overwritten, as by a wild pointer."""


@frozen
class Fault:
    """What is to go wrong: ``kind`` at the ``step``-th step of the domain, of its ``life``-th life if that is not 0.

    ``seed`` decides what the kind leaves open.
    """

    pd: str
    step: int
    kind: Kind
    seed: int = 0
    life: int = 0


@define
class Injector:
    """Faults for the domains of a system.

    ``steps`` counts each domain's steps so far, ``lives`` its threads; ``activated_at`` is when each fault happened,
    in ticks.
    """

    system: DescribedSystem
    faults: list[Fault] = field(factory=list)
    steps: Counter[str] = field(factory=Counter)
    lives: Counter[str] = field(factory=Counter)
    activated: list[Fault] = field(factory=list)
    activated_at: list[int] = field(factory=list)
    _threads: dict[str, TCB] = field(factory=dict)
    _since: Counter[str] = field(factory=Counter)
    _hanging: dict[str, TCB] = field(factory=dict)
    _run: Callable[[TCB], Trap] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Stand between the system's loop and its CPU."""
        self._run = self.system.loop.cpu.run
        self.system.loop.cpu = self

    def crash_next(self, pd: str) -> None:
        """Let the domain crash at its next step."""
        self.faults.append(Fault(pd, self.steps[pd] + 1, Kind.CRASH))

    def run(self, thread: TCB) -> Trap:
        """Run the thread until it traps, or goes wrong."""
        name = self._name(thread)
        if name is None:
            return self._run(thread)
        if self._hanging.get(name) is thread:
            return self._compute()
        trap = self._run(thread)
        if trap.kind in (traps.HOST, traps.INTERRUPTED):
            return trap
        for fault in self._due(name, thread):
            changed = self._apply(fault, thread, trap)
            if changed is not None:
                self.activated.append(fault)
                self.activated_at.append(self.system.machine.now())
                trap = changed
        return trap

    def _due(self, name: str, thread: TCB) -> list[Fault]:
        """Count a step; the faults that are to happen at it."""
        if self._threads.get(name) is not thread:
            self._threads[name] = thread
            self.lives[name] += 1
            self._since[name] = 0
        self.steps[name] += 1
        self._since[name] += 1
        here = {0: self.steps[name], self.lives[name]: self._since[name]}
        return [fault for fault in self.faults if fault.pd == name and here.get(fault.life) == fault.step]

    def _name(self, thread: TCB) -> str | None:
        """The domain whose present thread this is."""
        for name, live in self.system.threads.items():
            if live is thread:
                return name
        return None

    def _compute(self) -> Trap:
        machine = self.system.machine
        machine.advance(max(1, machine.next_stop() - machine.now()))
        return STOP_INTERRUPTED

    def _apply(self, fault: Fault, thread: TCB, trap: Trap) -> Trap | None:
        """What the kernel sees instead of the trap; None if nothing could go wrong."""
        chance = random.Random(f"{fault.seed} {fault.step} {fault.kind}")
        match fault.kind:
            case Kind.CRASH:
                return _ILLEGAL
            case Kind.HANG:
                self._hanging[fault.pd] = thread
                return self._compute()
            case Kind.WRONG_ANSWER:
                return _changed(_invert, thread, chance, trap)
            case Kind.LOST_REPLY:
                return _changed(_only_receive, thread, chance, trap)
            case Kind.MEMORY:
                return trap if self._flip(thread, chance) else None
            case Kind.STRAY_STORE:
                return trap if self._stray(thread, chance) else None

    def _flip(self, thread: TCB, chance: random.Random) -> bool:
        paddr = self._somewhere(thread, chance)
        if paddr is None:
            return False
        machine = self.system.machine
        machine.write_bytes(paddr, bytes((machine.read_bytes(paddr, 1)[0] ^ 1 << chance.randrange(8),)))
        return True

    def _stray(self, thread: TCB, chance: random.Random) -> bool:
        paddr = self._somewhere(thread, chance)
        if paddr is None:
            return False
        self.system.machine.write_word(paddr & ~7, chance.getrandbits(64))
        return True

    def _somewhere(self, thread: TCB, chance: random.Random) -> int | None:
        """An address in RAM that the thread may write."""
        memory, vspace = self.system.machine.memory, thread.vspace_slot.cap
        if not isinstance(vspace, PageTableCap):
            return None
        pages = [
            page for page in mappings(memory, vspace.paddr) if page.flags & _WRITE and memory.contains(page.paddr, 8)
        ]
        if not pages:
            return None
        page = chance.choice(pages)
        return page.paddr + chance.randrange(page.size)


def _changed(
    change: Callable[[TCB, random.Random], None], thread: TCB, chance: random.Random, trap: Trap
) -> Trap | None:
    """The trap with another system call in the registers, if it is a reply."""
    if trap.kind != traps.ECALL or not _is_reply(thread):
        return None
    change(thread, chance)
    return trap


def _is_reply(thread: TCB) -> bool:
    """Whether the system call in a thread's registers answers somebody."""
    number = signed(thread.registers[reg.SYSCALL_REGISTER])
    if number == sc.REPLY_RECV:
        return True
    if number not in (sc.SEND, sc.NBSEND):
        return False
    try:
        return isinstance(lookup_cap(thread, thread.registers[reg.CAP_REGISTER]), ReplyCap)
    except LookupFault:
        return False


def _invert(thread: TCB, chance: random.Random) -> None:
    index = chance.choice((reg.MSG_INFO_REGISTER, *reg.MSG_REGISTERS))
    bit = chance.randrange(12, 40) if index == reg.MSG_INFO_REGISTER else chance.randrange(64)
    thread.registers[index] ^= 1 << bit


def _only_receive(thread: TCB, chance: random.Random) -> None:
    is_send = signed(thread.registers[reg.SYSCALL_REGISTER]) != sc.REPLY_RECV
    thread.registers[reg.SYSCALL_REGISTER] = (sc.YIELD if is_send else sc.RECV) & WORD_MASK
