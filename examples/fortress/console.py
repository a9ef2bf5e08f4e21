"""The console: drives the serial port by its interrupt, and puts the speaker's name before each line.

The name comes from the channel, which is the badge of the caller's cap: nobody can speak in another's name.
"""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

from .words import MALFORMED, OK, WRITE, words_text

registers: int = 0

THR, IER, IIR, FCR = 0, 1, 2, 2
FIFO_ON, TRANSMITTER_EMPTY, FIFO_SIZE = 1, 2, 16
IRQ = 0
SPEAKERS = {2: "policy", 3: "warden", 4: "alice", 5: "bob"}
waiting = bytearray()
sending = False


async def init(pd: PD) -> None:
    await pd.store(registers + FCR, FIFO_ON, 1)


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    if msg.label != WRITE or not len(msg):
        return Message(MALFORMED)
    waiting.extend(f"{SPEAKERS[ch]:>7} | {words_text(msg.words)}\n".encode())
    if not sending:
        await send(pd)
    return Message(OK)


async def notified(pd: PD, ch: int) -> None:
    """The transmitter is empty; reading why takes the interrupt back."""
    await pd.load(registers + IIR, 1)
    await send(pd)
    await pd.irq_ack(IRQ)


async def send(pd: PD) -> None:
    """Fill the transmitter's FIFO; ask for an interrupt when it is empty, unless there was nothing to send."""
    global sending
    chunk = waiting[:FIFO_SIZE]
    del waiting[:FIFO_SIZE]
    for byte in chunk:
        await pd.store(registers + THR, byte, 1)
    sending = bool(chunk)
    await pd.store(registers + IER, TRANSMITTER_EMPTY if sending else 0, 1)
