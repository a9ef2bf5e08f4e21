"""A client that makes the kernel objects that its quota has room for, uses them, destroys them, and does so again."""

from typing import Final

from capkernel.abi import rights as rt
from capkernel.abi.registers import USER_CONTEXT
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import Failure
from capkernel.protocols.l4 import Kind
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.loop import PD
from servers.l4.clients.hog import OWN_CNODE, factory_of, make_object

report: int = 0

ROUNDS, MADE, REFUSED, USABLE, LONGEST = range(0, 40, 8)
"""Offsets in the report: rounds that are over; objects that were made; refusals; rounds in which all could be used; the
most ticks that a request took.
"""
FIRST: Final = 1000
NODE_BITS: Final = 2
OBJECTS: Final = (
    (Kind.THREAD, 0), (Kind.TASK, 0), (Kind.CAPS, NODE_BITS), (Kind.IRQ, 0), (Kind.GATE, 0), (Kind.TASK, 0),
    (Kind.THREAD, 0),
)  # fmt: skip
"""They take 2 + 4 + ¼ + ¼ + ¼ + 4 + 2 KiB, of 16."""
LIMIT: Final = 10
PAUSE: Final = 2_000


async def init(pd: PD) -> None:
    """Make, use, destroy."""
    factory = factory_of(pd)
    made = refused = usable = longest = 0
    for turn in range(1, LIMIT + 1):
        caps: list[int] = []
        for number, (kind, size_bits) in enumerate(OBJECTS, FIRST):
            start = await pd.clock()
            try:
                caps.append(await make_object(factory, number, kind, size_bits))
            except Failure:
                refused += 1
            longest = max(longest, await pd.clock() - start)
        made += len(caps)
        if len(caps) == len(OBJECTS):
            usable += await can_use(pd, thread=caps[0], irq=caps[3], node=caps[2])
        for cap in caps:
            await factory.connection.inbox.discard(cap)
        for number in range(FIRST, FIRST + len(caps)):
            await factory.destroy(number)
        for offset, value in ((MADE, made), (REFUSED, refused), (USABLE, usable), (LONGEST, longest), (ROUNDS, turn)):
            await pd.store(report + offset, value)
        await pd.compute(PAUSE)


async def can_use(pd: PD, *, thread: int, irq: int, node: int) -> bool:
    """Whether the objects are new ones of their kinds: a thread without a past, a notification to bind, empty slots."""
    try:
        registers = await stubs.tcb_read_registers(pd.sys, thread, flags=0, count=len(USER_CONTEXT))
        await stubs.tcb_bind_notification(pd.sys, thread, notification=irq)
        for slot in range(1 << NODE_BITS):
            await stubs.cnode_copy(
                pd.sys, node, dest_index=slot, dest_depth=NODE_BITS, src_root=OWN_CNODE, src_index=irq,
                src_depth=WORD_BITS, rights=rt.ALL,
            )  # fmt: skip
    except KernelError:
        return False
    return not any(registers)
