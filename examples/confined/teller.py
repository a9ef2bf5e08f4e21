"""An attacker: knows a secret, holds no cap that leads anywhere, and tells it by debug system calls."""

from capkernel.user.loop import PD

secret: int = 0
LENGTH = 23


async def init(pd: PD) -> None:
    # Not ``pd.print``, which asks first whether the kernel has a debug console.
    await pd.sys.print((await pd.read(secret, LENGTH)).decode())
