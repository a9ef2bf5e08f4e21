"""Answers each notification with one."""


async def init(pd):
    await pd.print("|secondary| hello, world\n")


async def notified(pd, ch):
    await pd.print("|secondary| notified\n")
    await pd.notify(ch)
