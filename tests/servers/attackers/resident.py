"""The client of the console system, gone bad: it uses all that it holds to do harm."""

import random

from capkernel.abi.words import WORD_MASK
from capkernel.protocols.audit import Audit, AuditReader
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import Console, ConsoleInput
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import Directory
from capkernel.protocols.interface import operations_of
from capkernel.protocols.log import Level, Log, LogReader
from capkernel.protocols.names import Endowed, NameSpace
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP
from capkernel.user.syscalls import Message

region: int = 0
report: int = 0

NAMES, GUEST, OWN_CNODE = 310, 311, 301
CHANNELS = (
    Directory, Console, ConsoleInput, Timer, RealTimeClock, Entropy, Log, LogReader, Audit, AuditReader,
)  # fmt: skip
STEPS, ERRORS, ALIVE = 0, 8, 16
REQUESTS = 60
WAITING = (ConsoleInput, 1), (ConsoleInput, 2)
"""Nobody types here."""


async def attack(pd, chance, interface, cap):
    """Requests of all kinds, with all kinds of caps."""
    for _ in range(REQUESTS):
        operation = chance.choice([*operations_of(interface), 0, 200, 0xFD, 0xFE, 0xFF])
        number = interface.number if chance.random() < 0.9 else chance.randrange(1 << 16)
        if (interface, operation) in WAITING:
            continue
        words = [
            chance.choice([0, 1, 2, chance.randrange(300), chance.getrandbits(64)]) for _ in range(chance.randrange(9))
        ]
        if chance.random() < 0.2:
            words = [chance.getrandbits(64) for _ in range(120)]
        if interface is Timer and words and words[0] < WORD_MASK >> 2:
            words[0] %= 2000
        caps = [OWN_CNODE, cap, NAMES][: chance.randrange(4)]
        label = number << 8 | operation | chance.choice([0, 0, 0, 1 << 51])
        await pd.sys.call(cap, Message(label, words, caps))


async def flood(pd, connection):
    """As much as can be, from all that can be opened."""
    console, log = (connect(kind, connection, BASE_ENDPOINT_CAP + n) for kind, n in ((Console, 1), (Log, 6)))
    audit = connect(Audit, connection, BASE_ENDPOINT_CAP + 8)
    timer = connect(Timer, connection, BASE_ENDPOINT_CAP + 3)
    refused = 0
    for number in range(150):
        for attempt in (
            lambda n=number: log.append(Level.DEBUG, f"\n{n} 0 ERROR kernel not me"),
            lambda: audit.record(["R 1 0 root not me 00\nS 1 00"]),
            lambda: timer.alarm(0, 100),
            timer.derive, lambda: log.named("x"),
        ):  # fmt: skip
            try:
                await attempt()
            except Failure:
                refused += 1
            except Exception:
                # Our own slots are full: that is our own affair.
                refused += 1
    await timer.cancel()
    await console.write("\x1b[2J\x1b]0;root\x07" * 9)
    return refused


async def init(pd):
    connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, 400, 460)))
    chance = random.Random(7)
    targets = [(kind, BASE_ENDPOINT_CAP + n) for n, kind in enumerate(CHANNELS)]
    targets += [(NameSpace, NAMES), (Endowed, GUEST)]
    for number, (interface, cap) in enumerate(targets, 1):
        await attack(pd, chance, interface, cap)
        await pd.store(report + STEPS, number)
    await pd.store(report + ERRORS, await flood(pd, connection))
    alive = 0
    for interface, cap in targets:
        # Everything of before is closed; whoever answers a request that cannot be is alive.
        answer = await pd.sys.call(cap, Message(interface.number << 8 | 0xEE))
        alive += answer.label == 0x101
    await pd.store(report + ALIVE, alive)


async def notified(pd, ch):
    pass
