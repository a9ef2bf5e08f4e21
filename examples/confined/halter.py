"""An attacker: holds no cap that leads anywhere, and halts the machine by a debug system call."""

from capkernel.abi.syscalls import DEBUG_HALT
from capkernel.user.loop import PD
from capkernel.user.operations import ecall


async def init(pd: PD) -> None:
    await pd.compute(20_000)
    await ecall(DEBUG_HALT)
