"""Closing what may be closed already: a cap is given up here in any case."""

from capkernel.protocols.client import Stub
from capkernel.protocols.failures import Failure
from capkernel.protocols.interface import Interface


async def let_go(what: Interface) -> None:
    """Close what a cap leads to, and give up the cap even if the server does not know it any more."""
    try:
        await what.drop()
    except Failure:
        if isinstance(what, Stub):
            await what.forget()
