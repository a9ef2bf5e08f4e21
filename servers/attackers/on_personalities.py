"""What is tried through memory that servers of Mach's and QNX's personalities share, while an accomplice changes it.

Mach's port server finds requests there. A ring of QNX's pulses has two ends: who receives finds pulses there, who sends
finds how many were taken; so each of them is attacked by the other one.
"""

import struct
from typing import Any, Final

from capkernel.abi.words import WORD_MASK
from capkernel.protocols.attacks import Trick
from capkernel.protocols.client import connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.mach_msg import copy_send, receive, release, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT, Disposition, Kind, Outgoing, SendRight, Task
from capkernel.protocols.qnx_process import Timeouts
from capkernel.user.messages import SharedRegion
from servers.attackers.aim import Swap, between
from servers.attackers.on_shared import (
    DATA,
    LONG,
    ROUNDS,
    SharedAttack,
    bytes_of,
    is_mixed,
    operation_named,
    request_words,
    two_contents,
)
from servers.qnx.clients.counter import PRIORITY, TOTALS
from servers.qnx.connection import Connection
from servers.qnx.pulses import PLACE, PLACES, SENT, TAKEN, capacity_of

SERVER: Final = 0
"""A QNX server's channel."""
RING: Final = 0x1000
"""Bytes of a ring, at the start of the memory that is shared."""
BURST: Final = 2
"""Pulses in a round."""
SYSTEM, HIGHEST, CODE = -1, 255, 1
"""A code and a priority that an attacker's pulses must not have; a code that they may have."""
SERVED: Final = "mallory"
"""What the process manager calls the server who attacks it."""
SETTLED: Final = 2_000
"""Ticks after which a timeout of no time has become a pulse."""
ID: Final = 100


# Mach's messages


async def messages(attack: SharedAttack) -> None:
    """Data of a message; their length; how a right goes along: a copy of a send right, or moved as a receive right."""
    task: Any = attack.stub(Task)
    port: Any = await task.allocate(DEFAULT_LIMIT)
    right: Any = await port.make_send()
    post = _Post(attack, task, port, connect(SendRight, attack.spilled, right.cap))
    one, other = two_contents(attack, DATA)
    request = _words(data=bytes_of(one))
    await attack.aim(*between(request, _words(data=bytes_of(other))))
    for _ in range(ROUNDS):
        await post.sent(one, other)
    await attack.aim(Swap(8 * request.index(DATA), DATA, LONG))
    for _ in range(ROUNDS):
        await post.sent(one, one)
    copied, moved = _words(parts=[Disposition.COPY_SEND]), _words(parts=[Disposition.MOVE_RECEIVE])
    await attack.aim(*between(copied, moved))
    for _ in range(ROUNDS):
        await post.sent_along()
    await attack.end()
    await release(right)
    await release(port)
    used = (await task.memory()).used
    await attack.judge(f"{used} bytes stay charged for nothing", is_right=not used)


def _words(*, data: bytes = b"", parts: list[Disposition] | None = None) -> list[int]:
    return request_words(operation_named(SendRight, "send"), Outgoing(ID, data, parts or []), 0)


class _Post:
    """A port, and a send right to it that is used through the memory."""

    def __init__(self, attack: SharedAttack, task: Task, port: Any, right: SendRight) -> None:
        self.attack = attack
        self.task = task
        self.port = port
        self.right = right

    async def sent(self, one: list[int], other: list[int]) -> None:
        """Send the data: what comes is the one or the other, word by word."""
        try:
            await send(self.right, ID, bytes_of(one), timeout_us=0)
        except Failure as failure:
            await self.attack.failed("a message was sent", failure)
            return
        mail = await receive(self.task, self.port)
        await self.attack.judge("somebody else's message came", is_right=is_mixed(one, other, mail.data))

    async def sent_along(self) -> None:
        """Send a copy of a send right along: what comes is one."""
        target: Any = await self.task.allocate(DEFAULT_LIMIT)
        right = await target.make_send()
        try:
            await send(self.right, ID, rights=[copy_send(right)], timeout_us=0)
        except Failure as failure:
            await self.attack.failed("a right was sent along", failure)
        else:
            found = await self.port.receive(0, 0)
            names = ", ".join(info.kind.name for info in found.rights)
            await self.attack.judge(f"a right to send became one to {names}", is_right=names == Kind.SEND.name)
            for info in found.rights:
                await self.task.deallocate(info.name)
        await release(right)
        await release(target)


# QNX's pulses


async def pulses(attack: SharedAttack) -> None:
    """Pulses that one may send, or that are the system's; how many there are; how many were taken."""
    ring = _Ring(attack)
    may, must_not = _pulse(CODE, PRIORITY), _pulse(SYSTEM, HIGHEST)
    for _ in range(ROUNDS):
        places = [PLACES + PLACE * ((ring.sent + n) % ring.capacity) for n in range(BURST)]
        await attack.aim(*(swap for place in places for swap in between(may, must_not, place)))
        await ring.sent_burst(places, may)
    for place, far in ((SENT, LONG), (SENT, WORD_MASK), (TAKEN, LONG)):
        for _ in range(ROUNDS):
            await attack.aim(Swap(place, ring.sent + BURST * (place == SENT), far))
            places = [PLACES + PLACE * ((ring.sent + n) % ring.capacity) for n in range(BURST)]
            await ring.sent_burst(places, may)
            await attack.aim()
            await ring.mended()
    await attack.end()


def _pulse(code: int, priority: int) -> list[int]:
    return [code & 0xFF | priority << 8, 0]


class _Ring:
    """A ring, written by hand, and what the server says that it took out of it."""

    def __init__(self, attack: SharedAttack) -> None:
        self.attack = attack
        self.capacity = capacity_of(SharedRegion(attack.region, RING))
        self.server = Connection(attack.pd, SERVER)
        self.sent = 0
        self.totals: tuple[int, ...] = (0, 0, 0, 0)

    async def sent_burst(self, places: list[int], words: list[int]) -> None:
        """Pulses of one's own: none of them comes as the system's, and none more often than there is room."""
        attack, start = self.attack, self.attack.region
        for place in places:
            await attack.pd.write(start + place, bytes_of(words))
        self.sent += len(places)
        await attack.pd.store(start + SENT, self.sent)
        await attack.pd.notify(SERVER)
        found = await self.server.send(TOTALS)
        count, system, higher, refused = [now - then for now, then in zip(found.words, self.totals, strict=True)]
        what = f"{count} pulses came, {system} as the system's, {higher} with a priority too high"
        await attack.judge(what, is_right=not system and not higher and count <= self.capacity)
        for _ in range(refused):
            await attack.ledger.count(Trick.MEMORY, "a pulse", is_refused=True)
        self.totals = found.words

    async def mended(self) -> None:
        """As after a start: nothing was sent, and nothing taken."""
        await self.attack.pd.write(self.attack.region, struct.pack("<2Q", 0, 0))
        self.sent = 0


async def timeouts(attack: SharedAttack) -> None:
    """Of a process manager, which sends its server pulses: how many it sent and how many were taken, is in the ring."""
    calm: Any = attack.stub(Timeouts)
    beside = attack.chance.randbytes(RING)
    request = 0
    for sent, taken, place, other in (
        (5, 4, SENT, RING // PLACE), (5, 4, TAKEN, LONG), (LONG, LONG - 1, SENT, LONG + RING),
    ):  # fmt: skip
        await attack.pd.write(attack.region, struct.pack("<2Q", sent, taken))
        await attack.aim(Swap(place, sent if place == SENT else taken, other))
        for _ in range(ROUNDS):
            request += 1
            await attack.pd.write(attack.region + RING, beside)
            try:
                await calm.arm(SERVED, request, 0)
            except Failure as failure:
                await attack.judge(f"the process manager came to grief: {failure}", is_right=False)
                continue
            await attack.pd.compute(SETTLED)
            is_right = await attack.pd.read(attack.region + RING, RING) == beside
            await attack.judge("a pulse was written beside the ring", is_right=is_right)
    await attack.end()
