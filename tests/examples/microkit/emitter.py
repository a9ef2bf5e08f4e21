"""Signals again and again, in its own domain's time (fewer times than Microkit's C program)."""

EVENTS = 20_000


async def init(pd):
    await pd.print("emitter: starting to emit events...\n")
    for event in range(1, EVENTS + 1):
        await pd.notify(0)
        if event % 5_000 == 0:
            await pd.print("emitter: still emitting events...\n")
    await pd.print("emitter: done emitting events\n")


async def notified(pd, ch):
    pass
