"""A driver for the serial port (`docs/hwmodel.md`) that reads lines by interrupt and answers them in capitals."""

from capkernel.user.loop import PD

registers: int = 0

RBR, THR, IER, FCR, LSR = 0, 0, 1, 2, 5
RECEIVED, FIFO_ON, DATA_READY = 1, 1, 1
IRQ = 0
line = bytearray()


async def init(pd: PD) -> None:
    await pd.store(registers + FCR, FIFO_ON, 1)
    await pd.store(registers + IER, RECEIVED, 1)
    await say(pd, "say something\n")


async def notified(pd: PD, ch: int) -> None:
    """Bytes have arrived: take them all, then let the line interrupt again."""
    while await pd.load(registers + LSR, 1) & DATA_READY:
        line.append(await pd.load(registers + RBR, 1))
        if line.endswith(b"\n"):
            await say(pd, line.decode(errors="replace").upper())
            line.clear()
    await pd.irq_ack(IRQ)


async def say(pd: PD, text: str) -> None:
    for code in text.encode():
        await pd.store(registers + THR, code, 1)
