"""Waits in the supervisor for whatever happens next, and counts: a request that waits there is not to be lost."""

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.supervision import Supervision
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

report: int = 0

SUPERVISOR = 0
"""Channel."""
SEEN, FAILED, MISSING = 0, 8, 16
"""Offsets in the report: events; requests that failed; events between others that were not seen."""


async def init(pd: PD) -> None:
    """For ever."""
    supervision = connect(Supervision, Connection(pd.sys), BASE_ENDPOINT_CAP + SUPERVISOR)
    last = seen = failed = missing = 0
    while True:
        try:
            event = await supervision.next_event(last)
        except Failure as failure:
            failed += 1
            await pd.print(f"{pd.name}: {type(failure).__name__}: {failure}\n")
        else:
            missing += event.number - last - 1
            seen, last = seen + 1, event.number
        await pd.store(report + SEEN, seen)
        await pd.store(report + FAILED, failed)
        await pd.store(report + MISSING, missing)
