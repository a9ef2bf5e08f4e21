"""The other child: it runs when the crasher is out of the way, and nothing has happened to it."""

from capkernel.user.loop import PD


async def init(pd: PD) -> None:
    await pd.print("bystander: my brother's crashes are none of my business\n")
