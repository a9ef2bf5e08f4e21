"""Replaces the ticket server by its second version, again if that fails, while others buy."""

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Refused
from capkernel.protocols.supervision import Supervision
from capkernel.protocols.tickets import Tickets
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

report: int = 0

SUPERVISOR, SERVER = 0, 1
LABEL, SECOND = "tickets", 1
REFUSED, VERSION_AFTER_REFUSAL, VERSION = 0, 8, 16
"""Offsets in the report: updates that were rolled back; the version that answered after one, and in the end."""
PATIENCE, SPREAD = 10_000, 20_000
"""Ticks before each try, and up to so many more, as the clock has it."""


async def init(pd: PD) -> None:
    """Update until it works."""
    connection = Connection(pd.sys)
    supervision = connect(Supervision, connection, BASE_ENDPOINT_CAP + SUPERVISOR)
    tickets = connect(Tickets, connection, BASE_ENDPOINT_CAP + SERVER)
    refused = 0
    while True:
        await pd.compute(PATIENCE + await pd.clock() % SPREAD)
        try:
            await supervision.update(LABEL, SECOND)
        except Refused as failure:
            refused += 1
            await pd.store(report + REFUSED, refused)
            await pd.store(report + VERSION_AFTER_REFUSAL, await tickets.version())
            await pd.print(f"operator: {failure}\n")
        else:
            await pd.store(report + VERSION, await tickets.version())
            return
