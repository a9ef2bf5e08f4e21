"""A child with a bug: it follows a null pointer. A restart runs `init` again; variables keep their values."""

from capkernel.user.loop import PD

starts = 0


async def init(pd: PD) -> None:
    global starts
    starts += 1
    await pd.print(f"crasher: start {starts}, following a null pointer\n")
    await pd.store(0, 1)
    await pd.print("crasher: nobody ever reads this\n")
