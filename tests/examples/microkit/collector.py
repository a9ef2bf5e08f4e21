"""Hears of events when its domain's turn comes: many signals are one event."""


async def init(pd):
    await pd.print("collector: Waiting for an event\n")


async def notified(pd, ch):
    await pd.print("collector: Got an event\n")
