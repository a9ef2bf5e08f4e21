"""All of the kernel's state, in one value that hangs together. There is nothing beside it."""

from capkernel.kernel.config import KernelConfig
from capkernel.kernel.errors import SyscallError
from capkernel.kernel.machine import Machine
from capkernel.kernel.objects import IDLE, TCB, ASIDPool, Fault, SchedContext, SlotContainer, TCBQueue

RESUME_CURRENT = 0
CHOOSE_NEW = 1
SWITCH_TO = 2

IRQ_INACTIVE = 0
IRQ_SIGNAL = 1
IRQ_TIMER = 2

PRIORITIES = 256
DOMAIN_MAX_DURATION = (1 << 56) - 1


class State:
    """The kernel's variables (seL4: ``model/statedata``). Times are ticks.

    ``action`` says what ``schedule`` is to do; with SWITCH_TO, ``candidate`` is the thread. ``consumed`` is the time
    since the last charge; ``domain_time`` is left of the domain's turn, 0 if it is over and ``schedule`` must choose
    another; ``ready`` has a queue for each domain * PRIORITIES + priority that was ever used;
    ``min_budget`` and ``max_release_time`` follow from the configuration; ``refusal`` is the
    last error or fault, kept so that it can be explained; ``initial`` is the initial thread, from whose caps all others
    come: whoever inspects the state begins there, even when everybody waits.
    """

    __slots__ = (
        "action", "asid_table", "candidate", "config", "consumed", "current", "current_sc",
        "domain", "domain_index", "domain_schedule", "domain_start", "domain_time", "idle", "idle_sc",
        "initial", "io_contexts", "irq_slots",
        "irq_states", "machine", "max_release_time", "min_budget", "ready", "ready_bitmap", "refusal", "release",
        "reprogram", "time", "work_units",
    )  # fmt: skip

    def __init__(self, config: KernelConfig, machine: Machine) -> None:
        self.config = config
        self.machine = machine
        self.idle = TCB(0)
        self.idle.state = IDLE
        self.idle.name = "idle_thread"
        self.idle_sc = SchedContext(0, 0)
        self.initial = self.current = self.idle
        self.current_sc = self.idle_sc
        self.action = CHOOSE_NEW
        self.candidate: TCB | None = None
        self.time = 0
        self.consumed = 0
        self.reprogram = True
        self.work_units = 0
        self.ready: dict[int, TCBQueue] = {}
        self.ready_bitmap = [0] * config.num_domains
        self.release = TCBQueue()
        self.domain = 0
        self.domain_time = DOMAIN_MAX_DURATION
        self.domain_index = 0
        self.domain_start = 0
        self.domain_schedule = [(0, 0)] * config.domain_schedule_length
        self.domain_schedule[0] = (0, DOMAIN_MAX_DURATION)
        self.min_budget = config.min_budget_us * config.ticks_per_us
        self.max_release_time = (1 << 64) - 1 - 5 * config.max_period_us * config.ticks_per_us
        self.irq_states = [IRQ_INACTIVE] * (config.timer_irq + 1)
        self.irq_slots = SlotContainer(0)
        self.asid_table: dict[int, ASIDPool] = {}
        self.io_contexts: dict[int, tuple[int, int]] = {}
        self.refusal: SyscallError | Fault | None = None
