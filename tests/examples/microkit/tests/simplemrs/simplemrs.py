"""Writes a byte into each of two regions."""

p: int = 0
q: int = 0


async def init(pd):
    await pd.store(p, ord("A"), 1)
    await pd.store(q, ord("Z"), 1)
    await pd.print(f"{chr(await pd.load(p, 1))}{chr(await pd.load(q, 1))}\n")


async def notified(pd, ch):
    pass
