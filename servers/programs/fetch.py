"""Fetches a page (its argument, or "/") by the cap to connect to one address that it was given as ``web``; shows it."""

from capkernel.protocols.failures import Failure
from capkernel.protocols.network import Dialer
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.net.closing import let_go
from servers.net.http_client import get
from servers.programs.telling import MISSING, described, lacks, tell

PATIENCE = 5_000
"""Milliseconds."""


async def main(process: Process) -> int:
    """Fetch; the exit code is 0 if the page is there."""
    if await lacks(process, "web"):
        return MISSING
    dialer = given(Dialer, process, "web")
    try:
        target = await dialer.target()
        stream = await dialer.connect(PATIENCE)
        try:
            page = await get(stream, f"{target.address}:{target.port}", (process.arguments or ["/"])[0])
        finally:
            await let_go(stream)
    except Failure as failure:
        await tell(process, f"fetch: {described(failure)}")
        return 1
    await tell(process, page.body.decode(errors="replace"))
    return 0 if page.status == 200 else 1
