"""Wakes traders who wait in vain; ends one every now and then, and builds it anew."""

import random

from capkernel.user import lifecycle
from capkernel.user.loop import PD

LIVES, DOORS = range(300, 303), range(303, 306)
SEED = 0


async def init(pd: PD) -> None:
    rng = random.Random(SEED)
    while True:
        await pd.compute(20)
        await pd.sys.nbsend(rng.choice(DOORS))
        if not rng.randrange(60):
            trader = rng.choice(LIVES)
            await lifecycle.destroy(pd.sys, trader)
            await lifecycle.rebuild(pd.sys, trader)
            await lifecycle.start(pd.sys, trader)
