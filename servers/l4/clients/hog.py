"""A client that makes kernel objects until it is refused, destroys them, and begins again, without end."""

from typing import Any, Final

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, NotFound
from capkernel.protocols.l4 import Kind, ObjectFactory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD

report: int = 0

FACTORY, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 310, 330
ROUNDS, FIRST, LAST, REFUSED, NESTED, FOREIGN, WORN = range(0, 56, 8)
"""Offsets in the report: rounds that are over; gates that could be made in the first and in the last; refusals; gates
of a factory inside; things of others that could be destroyed; rounds after which something was still in use.
"""
HOLD: Final = 5_000
"""Ticks for which everything is used up."""
NESTED_BITS: Final = 12
SIBLINGS_NUMBERS: Final = range(1000, 1008)


def factory_of(pd: PD) -> Any:
    """The factory that the description gives."""
    inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
    return connect(ObjectFactory, Connection(pd.sys, inbox), FACTORY)


async def make_object(factory: Any, number: int, kind: Kind, size_bits: int = 0) -> int:
    """Make an object, and return the address of the cap to it."""
    cap: int = await factory.create(number, kind, size_bits)
    return cap


async def init(pd: PD) -> None:
    """Fill the factory, and one inside it; try others' numbers; destroy everything."""
    factory = factory_of(pd)
    inbox = factory.connection.inbox
    rounds = 0
    while True:
        nested = await factory.create_factory(1, NESTED_BITS)
        inside = await fill(nested, inbox, 1)
        count = await fill(factory, inbox, 2)
        foreign = 0
        for number in SIBLINGS_NUMBERS:
            try:
                await factory.destroy(number)
                foreign += 1
            except NotFound:
                continue
        await pd.compute(HOLD)
        await nested.drop()
        for number in range(2, 2 + count):
            await factory.destroy(number)
        if not rounds:
            await pd.store(report + FIRST, count)
        rounds += 1
        await pd.store(report + LAST, count)
        await pd.store(report + NESTED, inside)
        await pd.store(report + REFUSED, 2 * rounds)
        await pd.store(report + FOREIGN, await pd.load(report + FOREIGN) + foreign)
        await pd.store(report + WORN, await pd.load(report + WORN) + ((await factory.info()).used != 0))
        await pd.store(report + ROUNDS, rounds)


async def fill(factory: Any, inbox: Inbox, first: int) -> int:
    """Make gates until that is refused; returns how many."""
    number = first
    while True:
        try:
            cap = await make_object(factory, number, Kind.GATE)
        except Failure:
            return number - first
        await inbox.discard(cap)
        number += 1
