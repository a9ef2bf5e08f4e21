"""Prints a line."""


async def init(pd):
    await pd.print("hello, world\n")


async def notified(pd, ch):
    pass
