"""Writes through a null pointer."""


async def init(pd):
    await pd.print("crasher, starting\n")
    await pd.store(0, 1, 4)


async def notified(pd, ch):
    pass
