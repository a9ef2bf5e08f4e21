"""What can be configured, as one value; ready-made ones are in ``capkernel.runtime.platform``."""

from dataclasses import dataclass

Region = tuple[int, int]
"""Physical addresses, bytes: first, and first after the end."""


@dataclass(frozen=True)
class KernelConfig:
    """The kernel's build-time choices (seL4's ``config.cmake``) and the machine it is built for.

    Times are in microseconds unless the name says ticks; sizes in log2 bytes (``_bits``).
    """

    root_cnode_bits: int = 13
    num_domains: int = 1
    domain_schedule_length: int = 2
    retype_fan_out_limit: int = 256
    max_irq: int = 95
    """Highest interrupt number of the controller; the kernel's timer is ``max_irq + 1``."""
    timer_hz: int = 10_000_000
    kernel_wcet_us: int = 10
    timer_precision_us: int = 1
    """How early the timer is set, as on the reference platform. It shows: a budget is charged before its last us."""
    boot_time_slice_us: int = 5_000
    work_units_per_preemption: int = 100
    reset_chunk_bits: int = 8
    debug: bool = True
    """Answer the debug system calls; without it they are unknown system calls."""
    fastpath: bool = True
    """Take the short way where a message allows it; it makes no difference but for speed."""
    fix_send_to_passive: bool = False
    """Let a plain Send lend its time to a receiver that has none, as a Call does; else that never runs (issue 1616)."""
    fix_atomic_cancel: bool = False
    """Let the emptying of an endpoint's or notification's queue be preempted (seL4 issues 1736 and 1737).

    Like Revoke it then ends only when nobody whom it wakes comes back faster than it goes on.
    """
    fix_lent_turns: bool = False
    """Put whose turn ended while it was lent behind its equals when it comes back (seL4 issue 1365)."""
    has_iommu: bool = False
    ram: tuple[Region, ...] = ((0x80200000, 0x140000000),)
    """Memory that untypeds are cut from, ascending."""
    reserved: tuple[Region, ...] = ((0x2000000, 0x2200000), (0xC000000, 0xC600000))
    """Device windows that the kernel keeps for itself; user space gets no untyped for them."""
    device_top: int = 1 << 39
    kernel_image: Region = (0x84000000, 0x84030000)
    """Where the kernel's image lies; the root task's image follows it."""

    @property
    def timer_irq(self) -> int:
        """The interrupt number under which the kernel's own timer is known."""
        return self.max_irq + 1

    @property
    def ticks_per_us(self) -> int:
        """Timer ticks in a microsecond."""
        return self.timer_hz // 1_000_000

    @property
    def min_budget_us(self) -> int:
        """The least budget: entering and leaving the kernel must fit into it."""
        return 2 * self.kernel_wcet_us

    @property
    def max_period_us(self) -> int:
        """The longest period whose sums still fit into a word."""
        return ((1 << 64) - 1) // self.ticks_per_us // 8
