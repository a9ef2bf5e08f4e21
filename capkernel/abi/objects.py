"""Object types as Retype numbers them, their sizes (log2 bytes), and cap types as DebugCapIdentify answers."""

from typing import Final

UNTYPED: Final = 0
TCB: Final = 1
ENDPOINT: Final = 2
NOTIFICATION: Final = 3
CNODE: Final = 4
SCHED_CONTEXT: Final = 5
REPLY: Final = 6
GIGA_PAGE: Final = 7
PAGE: Final = 8
MEGA_PAGE: Final = 9
PAGE_TABLE: Final = 10
OBJECT_TYPE_COUNT: Final = 11

TYPE_NAMES: Final[tuple[str, ...]] = (
    "untyped", "tcb", "endpoint", "notification", "cnode", "sched_context", "reply",
    "giga_page", "page", "mega_page", "page_table",
)  # fmt: skip

SLOT_BITS: Final = 5
MIN_UNTYPED_BITS: Final = 4
MAX_UNTYPED_BITS: Final = 38
MIN_SCHED_CONTEXT_BITS: Final = 7
SCHED_CONTEXT_HEADER_BYTES: Final = 96
REFILL_BYTES: Final = 16
PAGE_BITS: Final = 12
PAGE_BYTES: Final = 1 << PAGE_BITS
MEGA_PAGE_BITS: Final = 21
GIGA_PAGE_BITS: Final = 30
PAGE_TABLE_BITS: Final = 12
TCB_BITS: Final = 11
ENDPOINT_BITS: Final = 4
NOTIFICATION_BITS: Final = 6
REPLY_BITS: Final = 5
ASID_POOL_BITS: Final = 12
ASID_LOW_BITS: Final = 9
ASID_POOL_COUNT: Final = 128
USER_TOP: Final = 0x3FFFFFF000
"""First virtual address that user space can never map (Sv39)."""

FIXED_SIZE_BITS: Final[dict[int, int]] = {
    TCB: TCB_BITS, ENDPOINT: ENDPOINT_BITS, NOTIFICATION: NOTIFICATION_BITS, REPLY: REPLY_BITS,
    GIGA_PAGE: GIGA_PAGE_BITS, PAGE: PAGE_BITS, MEGA_PAGE: MEGA_PAGE_BITS, PAGE_TABLE: PAGE_TABLE_BITS,
}  # fmt: skip
FRAME_TYPES: Final[frozenset[int]] = frozenset((PAGE, MEGA_PAGE, GIGA_PAGE))


def object_size_bits(object_type: int, size_bits: int) -> int:
    """log2 of the bytes of an object; ``size_bits`` is Retype's argument, used by three types only."""
    fixed = FIXED_SIZE_BITS.get(object_type)
    if fixed is not None:
        return fixed
    return size_bits + SLOT_BITS if object_type == CNODE else size_bits


def max_refills(size_bits: int) -> int:
    """How many refills a scheduling context of 2**``size_bits`` bytes holds."""
    return int(((1 << size_bits) - SCHED_CONTEXT_HEADER_BYTES) // REFILL_BYTES)


CAP_NULL: Final = 0
CAP_FRAME: Final = 1
CAP_UNTYPED: Final = 2
CAP_PAGE_TABLE: Final = 3
CAP_ENDPOINT: Final = 4
CAP_NOTIFICATION: Final = 6
CAP_REPLY: Final = 8
CAP_CNODE: Final = 10
CAP_ASID_CONTROL: Final = 11
CAP_TCB: Final = 12
CAP_ASID_POOL: Final = 13
CAP_IRQ_CONTROL: Final = 14
CAP_IRQ_HANDLER: Final = 16
CAP_ZOMBIE: Final = 18
CAP_DOMAIN: Final = 20
CAP_SCHED_CONTEXT: Final = 22
CAP_SCHED_CONTROL: Final = 24
