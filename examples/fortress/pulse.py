"""The pulse: drives the board's timer and tells the others that a period has begun, and when it was due."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

from .words import MALFORMED, OK, STOP

registers: int = 0
beat: int = 0

COUNT, COMPARE, PERIOD, CONTROL, STATUS = 0x00, 0x08, 0x10, 0x14, 0x18
OFF, ENABLE_WITH_IRQ, EXPIRED = 0, 3, 1
PERIOD_TICKS = 50_000  # 5 ms
IRQ, ALICE, POLICY, WARDEN = 0, 1, 2, 3
NUMBER, DUE, CLOSING = 0, 8, 16
"""Words of the page `beat`: the period's number, the tick at which it was due to begin, whether it is the last."""
closing = False


async def init(pd: PD) -> None:
    await pd.store(registers + PERIOD, PERIOD_TICKS, 4)
    await pd.store(registers + COMPARE, await pd.load(registers + COUNT) + PERIOD_TICKS)
    await pd.store(registers + CONTROL, ENABLE_WITH_IRQ, 4)


async def notified(pd: PD, ch: int) -> None:
    """A period begins; after the warden's word it is the last."""
    await pd.store(beat + NUMBER, await pd.load(beat + NUMBER) + 1)
    await pd.store(beat + DUE, await pd.load(registers + COMPARE))
    await pd.store(beat + CLOSING, int(closing))
    if closing:
        await pd.store(registers + CONTROL, OFF, 4)
    await pd.store(registers + STATUS, EXPIRED, 4)
    await pd.irq_ack(IRQ)
    for listener in (POLICY, WARDEN, ALICE):
        await pd.notify(listener)


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    """The warden closes the fortress."""
    global closing
    if msg.label != STOP:
        return Message(MALFORMED)
    closing = True
    return Message(OK)
