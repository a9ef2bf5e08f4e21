"""Takes tickets and writes down their numbers."""

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.tickets import Tickets
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

sales: int = 0

SERVER = 0
COUNT = 40
TAKEN, ERRORS, FIRST = 0, 8, 16
"""Offsets in the report: how many were taken; requests that failed; the numbers."""
PAUSE = 2_000
"""Ticks between two."""


async def init(pd: PD) -> None:
    """Buy."""
    tickets = connect(Tickets, Connection(pd.sys), BASE_ENDPOINT_CAP + SERVER)
    errors = 0
    for taken in range(COUNT):
        try:
            number = await tickets.take()
        except Failure:
            errors += 1
            number = 0
        await pd.store(sales + FIRST + 8 * taken, number)
        await pd.store(sales + TAKEN, taken + 1)
        await pd.store(sales + ERRORS, errors)
        await pd.compute(PAUSE)
