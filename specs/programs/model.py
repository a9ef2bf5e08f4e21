"""A whole program as plain data: what there is at the start, and what happens then, step by step.

It says nothing of how it came about: a Hypothesis strategy, a mutation of a recorded program or a person wrote it.
"""

from dataclasses import dataclass, fields
from typing import Any

from capkernel.abi import syscalls as sc

GARBAGE = 0x6A5B << 48
"""The top bits of every word that a program did not set; the rest says which."""


@dataclass(frozen=True)
class Worker:
    """A thread that the initial layout holds. Times in us; budget equal to period means round robin.

    ``fault`` and ``timeout`` are slots of handler endpoints, ``notification`` of one to be bound; 0 means none. A
    ``passive`` thread starts without its context. One that ``serves`` starts in a receive with those slots of endpoint
    (or notification) and reply object.
    """

    priority: int = 100
    mcp: int = 255
    budget: int = 10_000
    period: int = 10_000
    extra_refills: int = 0
    sporadic: bool = False
    domain: int = 0
    fault: int = 0
    timeout: int = 0
    notification: int = 0
    passive: bool = False
    serves: tuple[int, int] = (0, 0)
    own_vspace: bool = False
    buffer: bool = True


WORKERS = (
    Worker(priority=120),
    Worker(priority=110, budget=1_000, period=5_000, extra_refills=2, fault=6),
    Worker(priority=110, budget=500, period=10_000, sporadic=True, timeout=6),
    Worker(priority=100, own_vspace=True, buffer=False, fault=7),
)


@dataclass(frozen=True)
class Layout:
    """The initial state: the board, the threads, the domain schedule as (domain, ticks), and what work costs."""

    board: str = "qemu_virt_riscv64"
    workers: tuple[Worker, ...] = WORKERS
    root_priority: int = 10
    partitioned: bool = False
    """Two labels with a policy between them (``partitions``) instead of one CSpace for all."""
    threads_revocable: bool = False
    """Threads are made of the untyped that programs have a cap to: its Revoke destroys them all."""
    meeting_revocable: bool = False
    """The same of what threads meet by: endpoints, notifications, reply objects."""
    spaces_revocable: bool = False
    """The same of the second address space: its root is made of that untyped, its ASID pool of the smaller one."""
    lends: tuple[tuple[int, int], ...] = ()
    """Slots of scheduling contexts and notifications, bound to each other: who is woken so has that time."""
    schedule: tuple[tuple[int, int], ...] = ()
    fixes: tuple[str, ...] = ()
    """Names of kernel options (``fix_…``) that are on."""
    work_units_per_preemption: int = 100
    syscall_ticks: int = 5
    work_unit_ticks: int = 1


@dataclass(frozen=True)
class Step:
    """Something that happens. With ``thread`` it happens only if that worker runs (-1: the root thread)."""


@dataclass(frozen=True)
class Syscall(Step):
    """A system call by whoever runs: the invoked cap, label and message, and the other registers it looks at.

    ``length`` and ``ncaps`` are what the message info says; None means what is there. ``receive`` is the receive path
    in the IPC buffer: CNode, index, depth.
    """

    number: int = sc.CALL
    cap: int = 0
    label: int = 0
    words: tuple[int, ...] = ()
    caps: tuple[int, ...] = ()
    length: int | None = None
    ncaps: int | None = None
    reply: int = 0
    dest: int = 0
    receive: tuple[int, int, int] = (0, 0, 0)
    thread: int | None = None


@dataclass(frozen=True)
class Access(Step):
    """A memory access or exception by whoever runs: an instruction's name, an address, a value to store."""

    op: str = "ld8"
    address: int = 0
    value: int = 0
    thread: int | None = None


@dataclass(frozen=True)
class Compute(Step):
    """Whoever runs computes for so many ticks."""

    ticks: int = 1
    thread: int | None = None


@dataclass(frozen=True)
class Interrupt(Step):
    """A device's interrupt line fires once."""

    irq: int = 5


@dataclass(frozen=True)
class Dma(Step):
    """The board's DMA engine touches an I/O address."""

    iova: int = 0
    write: bool = False


@dataclass(frozen=True)
class Program:
    """A layout and the steps from there."""

    layout: Layout = Layout()
    steps: tuple[Step, ...] = ()


def literal(value: Any) -> str:
    """A value as Python source; of records only what differs from the defaults, large numbers in hexadecimal."""
    if isinstance(value, bool | str | None):
        return repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 4096 else hex(value)
    if isinstance(value, tuple):
        inner = ", ".join(literal(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    parts = [
        f"{f.name}={literal(getattr(value, f.name))}" for f in fields(value) if getattr(value, f.name) != f.default
    ]
    return f"{type(value).__name__}({', '.join(parts)})"
