"""Signals a cap address at which no cap can be."""


async def init(pd):
    await pd.print("capfault: forcing a cap fault by notifying invalid channel 10,000\n")
    await pd.sys.signal(10 + 10_000)


async def notified(pd, ch):
    pass
