"""The abstract state, and the steps that all others are made of: reading and changing one thing.

A step of the kernel is a function from state to state. It is written in the style of the proofs' state monad: every
function takes the state first and may change it, and ``kernel_entry`` gives them a copy to work on. Objects, caps and
queues are values; only the maps that hold them change.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from specs.abstract.caps import NULL, Cap
from specs.abstract.objects import (
    IDLE_SC,
    IDLE_THREAD,
    TCB,
    ASIDPool,
    CNode,
    Endpoint,
    IOPageTable,
    LookupFailure,
    Notification,
    Object,
    PageTable,
    Ptr,
    Reply,
    SchedContext,
)

CSlot = tuple[Ptr, int]
"""A place for a cap: a CNode, TCB or the interrupt lines, and an index."""

ResumeCurrentThread: Final = "resume_cur_thread"
ChooseNewThread: Final = "choose_new_thread"
SchedulerAction = str | Ptr
"""What ``schedule`` is to do; a thread means: switch to that one."""

IRQInactive: Final = 0
IRQSignal: Final = 1
IRQTimer: Final = 2
MAX_DURATION: Final = 2**56 - 1
"""Ticks of a domain's turn."""


class SyscallError(Exception):
    """The caller is refused: error code (``abi.errors``) and the words of the reply."""

    def __init__(self, code: int, *words: int) -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words


class LookupFailed(Exception):
    """An address leads to no cap."""

    def __init__(self, kind: int, *words: int) -> None:
        super().__init__(kind, words)
        self.failure = LookupFailure(kind, words)


class Interrupted(Exception):
    """A long operation was preempted; the system call will be made again."""


@dataclass(frozen=True)
class Config:
    """The constants of a kernel's build. Times in ticks unless the name says us."""

    num_domains: int
    retype_fan_out_limit: int
    timer_irq: int
    ticks_per_us: int
    min_budget_us: int
    max_period_us: int
    timer_precision: int
    work_units_limit: int
    reset_chunk_bits: int
    debug: bool
    has_iommu: bool

    @property
    def min_budget(self) -> int:
        """The least budget, in ticks."""
        return self.min_budget_us * self.ticks_per_us

    @property
    def max_release_time(self) -> int:
        """A refill later than this is not charged any further: sums must fit into a word."""
        return 2**64 - 1 - 5 * self.max_period_us * self.ticks_per_us


class Answers(Protocol):
    """What the machine says when it is asked. The kernel asks at its entry, and between units of long operations."""

    def clock(self) -> int:
        """The time, in ticks."""

    def irq_pending(self) -> bool:
        """Whether an interrupt waits."""

    def claim_irq(self) -> int:
        """Take the interrupt that waits; 0 for none."""


@dataclass
class Outputs:
    """What a step does to the machine.

    ``writes`` are words of user memory by physical address; ``cleared`` are (address, bytes), with zeros filled in
    before the writes; ``vspace`` is the (root table, ASID) last set, (0, 0) for an empty one; ``irq`` holds the
    operations on the interrupt controller; ``text`` is what DebugPutChar wrote.

    The rest is for whoever counts: the type of the object's cap and the label that were ``invoked``, the ``error`` by
    which that was refused, and the ``fault`` that came of it all.
    """

    writes: dict[int, int] = field(default_factory=dict)
    cleared: list[tuple[int, int]] = field(default_factory=list)
    deadline: int | None = None
    vspace: tuple[Ptr, int] | None = None
    irq: list[tuple[Any, ...]] = field(default_factory=list)
    iommu: list[tuple[Any, ...]] = field(default_factory=list)
    text: list[int] = field(default_factory=list)
    halted: bool = False
    invoked: tuple[int, int] | None = None
    error: int | None = None
    fault: int | None = None


Memory = Callable[[int], int]
"""User memory before the step: the word at an aligned physical address."""
TREE: Final = ("caps", "cdt", "cdt_list", "is_original_cap")
MAPS: Final = ("kheap", "ready_queues", "asid_table", "io_contexts")
VARIABLES: Final = (
    "release_queue", "cur_thread", "cur_sc", "scheduler_action", "cur_time", "consumed_time", "reprogram_timer",
    "work_units", "cur_domain", "domain_time", "domain_index", "domain_start", "domain_list", "irq_states",
)  # fmt: skip


class State:
    """All of the abstract kernel's state.

    ``kheap``: address → object. ``caps``: slot → cap, of the slots that hold one. ``cdt``: slot → the slot that it was
    derived from; ``cdt_list``: the same backwards, with the children in the order in which ``revoke`` takes them.
    ``ready_queues``: (domain, priority) → threads. ``consumed_time`` is the time since the last charge.

    ``irq_states``: the use of each interrupt line. Caps and tree are shared with the state before until a step changes
    them.

    ``answers``, ``memory`` and ``out`` are there only during a step: what the machine says, and what it is told.
    """

    __slots__ = ("answers", "config", "memory", "out", "shares_tree", *TREE, *MAPS, *VARIABLES)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.kheap: dict[Ptr, Object] = {}
        self.caps: dict[CSlot, Cap] = {}
        self.cdt: dict[CSlot, CSlot] = {}
        self.cdt_list: dict[CSlot, tuple[CSlot, ...]] = {}
        self.is_original_cap: set[CSlot] = set()
        self.ready_queues: dict[tuple[int, int], tuple[Ptr, ...]] = {}
        self.asid_table: dict[int, Ptr] = {}
        self.io_contexts: dict[int, tuple[int, Ptr]] = {}
        self.release_queue: tuple[Ptr, ...] = ()
        self.cur_thread: Ptr = IDLE_THREAD
        self.cur_sc: Ptr = IDLE_SC
        self.scheduler_action: SchedulerAction = ResumeCurrentThread
        self.cur_time = 0
        self.consumed_time = 0
        self.reprogram_timer = False
        self.work_units = 0
        self.cur_domain = 0
        self.domain_time = MAX_DURATION
        self.domain_index = 0
        self.domain_start = 0
        self.domain_list: tuple[tuple[int, int], ...] = ()
        self.irq_states: tuple[int, ...] = ()
        self.shares_tree = True
        self.answers: Answers
        self.memory: Memory
        self.out: Outputs

    def copy(self) -> "State":
        """The same state, to be changed without touching this one."""
        new = object.__new__(State)
        new.config = self.config
        for name in MAPS:
            setattr(new, name, getattr(self, name).copy())
        for name in TREE + VARIABLES:
            setattr(new, name, getattr(self, name))
        new.shares_tree = True
        return new

    def own_tree(self) -> None:
        """Caps and tree are about to change: from now on they are this state's own, if they were not."""
        if self.shares_tree:
            for name in TREE:
                setattr(self, name, getattr(self, name).copy())
            self.shares_tree = False


# Objects, by kind


def get_tcb(s: State, thread: Ptr) -> TCB:
    """The thread at an address."""
    item = s.kheap[thread]
    assert isinstance(item, TCB)
    return item


def set_tcb(s: State, thread: Ptr, **fields: Any) -> None:
    """Change fields of a thread."""
    s.kheap[thread] = get_tcb(s, thread)._replace(**fields)


def get_endpoint(s: State, ptr: Ptr) -> Endpoint:
    """The endpoint at an address."""
    item = s.kheap[ptr]
    assert isinstance(item, Endpoint)
    return item


def get_notification(s: State, ptr: Ptr) -> Notification:
    """The notification at an address."""
    item = s.kheap[ptr]
    assert isinstance(item, Notification)
    return item


def get_reply(s: State, ptr: Ptr) -> Reply:
    """The reply object at an address."""
    item = s.kheap[ptr]
    assert isinstance(item, Reply)
    return item


def get_sched_context(s: State, ptr: Ptr) -> SchedContext:
    """The scheduling context at an address."""
    item = s.kheap[ptr]
    assert isinstance(item, SchedContext)
    return item


def get_page_table(s: State, ptr: Ptr) -> PageTable:
    """The page table at an address."""
    item = s.kheap[ptr]
    assert isinstance(item, PageTable)
    return item


def get_io_page_table(s: State, ptr: Ptr) -> IOPageTable:
    """The I/O page table at an address."""
    item = s.kheap[ptr]
    assert isinstance(item, IOPageTable)
    return item


def get_asid_pool(s: State, ptr: Ptr) -> ASIDPool:
    """The ASID pool at an address."""
    item = s.kheap[ptr]
    assert isinstance(item, ASIDPool)
    return item


def get_cnode(s: State, ptr: Ptr) -> CNode:
    """The CNode at an address."""
    item = s.kheap[ptr]
    assert isinstance(item, CNode)
    return item


def get_cap(s: State, slot: CSlot) -> Cap:
    """The cap in a slot."""
    return s.caps.get(slot, NULL)


# Registers


def get_register(s: State, thread: Ptr, register: int) -> int:
    """A register of a thread."""
    return get_tcb(s, thread).context[register]


def set_registers(s: State, thread: Ptr, values: dict[int, int]) -> None:
    """Change registers of a thread."""
    context = list(get_tcb(s, thread).context)
    for register, value in values.items():
        context[register] = value
    set_tcb(s, thread, context=tuple(context))


# The machine


def load_word(s: State, paddr: int) -> int:
    """A word of user memory, as it is now."""
    written = s.out.writes.get(paddr)
    if written is not None:
        return written
    if any(start <= paddr < start + size for start, size in s.out.cleared):
        return 0
    return s.memory(paddr)


def store_word(s: State, paddr: int, value: int) -> None:
    """Write a word of user memory."""
    s.out.writes[paddr] = value


def clear_memory(s: State, paddr: int, size: int) -> None:
    """Fill memory with zeros."""
    s.out.cleared.append((paddr, size))
