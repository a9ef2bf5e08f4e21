"""The passive server."""


async def init(pd):
    await pd.print("SERVER|INFO: init function running\n")


async def notified(pd, ch):
    await pd.print("SERVER|ERROR: received a notification on an unexpected channel\n")


async def protected(pd, ch, msg):
    if msg.label == 1:
        await pd.print("SERVER|INFO: running on clients scheduling context\n")
    else:
        await pd.print("SERVER|ERROR: received an unexpected message\n")
