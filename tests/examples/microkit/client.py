"""Calls the passive server once."""

from capkernel.user.syscalls import Message

SERVER = 0


async def init(pd):
    await pd.print("CLIENT|INFO: init function running\n")
    await pd.ppcall(SERVER, Message(1, [0]))


async def notified(pd, ch):
    await pd.print("CLIENT|INFO: received a notification on an unexpected channel\n")
