"""Complaining of a neighbour that lives, gives signs of life and fails every request (``Supervision.complain``)."""

from collections.abc import Awaitable, Callable

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.supervision import Supervision
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

Complain = Callable[[], Awaitable[bool]]
"""Complain; whether the neighbour was started anew, so that one may ask it again."""


def complaints_of(pd: PD, supervisor: int, provider: int) -> Complain | None:
    """By which this service complains of one on which it relies: the one at place ``provider`` in what the manifest
    says of that. ``supervisor`` is its channel to there; None if nothing can be asked through that.
    """
    if not pd.values.pps >> supervisor & 1:
        return None
    supervision = connect(Supervision, Connection(pd.sys), BASE_ENDPOINT_CAP + supervisor)

    async def complain() -> bool:
        try:
            await supervision.complain(provider)
        except Failure:
            return False
        return True

    return complain
