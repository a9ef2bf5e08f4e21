"""Drives the board's DMA engine: one copy within its I/O address space, one attempt to read the kernel's memory."""

registers: int = 0
transfer: int = 0

SOURCE, DESTINATION, LENGTH, CONTROL, STATUS, FAULT = range(0, 0x30, 8)
START_WITH_IRQ, CLEAR, ERROR = 3, 6, 4
IO_BASE = 0x10000
KERNEL = 0x84000000
TEXT = b"copied by the engine"


async def start(pd, source, destination):
    """Program the engine; it interrupts when it is done."""
    await pd.store(registers + SOURCE, source)
    await pd.store(registers + DESTINATION, destination)
    await pd.store(registers + LENGTH, len(TEXT))
    await pd.store(registers + CONTROL, START_WITH_IRQ)


async def init(pd):
    """Copy from the first page of the I/O address space to the second."""
    await pd.write(transfer, TEXT)
    await start(pd, IO_BASE, IO_BASE + 0x1000)


async def notified(pd, ch):
    """The engine is done: with the copy, or with being refused."""
    status = await pd.load(registers + STATUS)
    if status & ERROR:
        await pd.print(f"refused at I/O address {await pd.load(registers + FAULT):#x}\n")
    else:
        await pd.print(f"{(await pd.read(transfer + 0x1000, len(TEXT))).decode()}\n")
    await pd.store(registers + STATUS, CLEAR)
    await pd.irq_ack(ch)
    if not status & ERROR:
        await start(pd, KERNEL, IO_BASE + 0x1000)
