"""A driver for the board's timer (`docs/hwmodel.md` has its registers): one alarm at a time, for one client."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

registers: int = 0

COUNT, COMPARE, CONTROL, STATUS = 0x00, 0x08, 0x14, 0x18
ENABLE_WITH_IRQ, EXPIRED = 0b11, 1
IRQ, CLIENT = 0, 1
TICKS_PER_US = 10


async def init(pd: PD) -> None:
    await pd.print("timer: the registers are mapped, the alarm is off\n")


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    """Set the alarm: word 0 says in how many microseconds."""
    now = await pd.load(registers + COUNT)
    await pd.store(registers + COMPARE, now + msg[0] * TICKS_PER_US)
    await pd.store(registers + CONTROL, ENABLE_WITH_IRQ, 4)
    return Message()


async def notified(pd: PD, ch: int) -> None:
    """The interrupt: quieten the device first, then let the line fire again, then tell the client."""
    await pd.store(registers + STATUS, EXPIRED, 4)
    await pd.irq_ack(IRQ)
    await pd.notify(CLIENT)
