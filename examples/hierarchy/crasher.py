"""A child with a bug: it follows a null pointer. A restart runs it from the beginning; it knows nothing of before."""

from capkernel.user.loop import PD


async def init(pd: PD) -> None:
    await pd.print("crasher: following a null pointer\n")
    await pd.store(0, 1)
    await pd.print("crasher: nobody ever reads this\n")
