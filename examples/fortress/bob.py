"""A client who may only read the shared namespace, and would like more."""

from capkernel.user.loop import PD

from .client import ask, get, put
from .words import DIARY, READ, READ_WRITE, REFUSED, SHARED, say


async def init(pd: PD) -> None:
    await ask(pd, SHARED, READ)
    await say(pd, f"the motto reads: {await get(pd, SHARED, 'motto')!r}")
    if await put(pd, SHARED, "motto", "bob was here") == REFUSED:
        await say(pd, "I tried to change it: kv refused, my cap's badge says read")
    if not await ask(pd, SHARED, READ_WRITE) and not await ask(pd, DIARY, READ):
        await say(pd, "I asked for a cap to write, and for one to alice's diary: policy refused both")
