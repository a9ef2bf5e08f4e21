"""What is tried through memory that a server shares with its client, while an accomplice changes it.

A request that lies there is permitted or not, by the words that go to and fro. Whatever the server reads, it must judge
what it then does: so a permitted one may be carried out, one that is not must be refused, and nothing else may come of
it. Data are as it read them at one moment: what is written is one or the other, word by word, and then stays.
"""

from collections.abc import Sequence
from typing import Any, Final

from capkernel.protocols.attacks import Trick
from capkernel.protocols.block import SECTOR, Block
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, ServerDied
from capkernel.protocols.files import READ, READ_WRITE, Directory, File
from capkernel.protocols.interface import Operation, operations_of
from capkernel.protocols.network import Dialer, Stream
from capkernel.protocols.supervision import Supervision
from capkernel.user.loop import PD
from capkernel.user.messages import SPILLED, SharedRegion, to_words
from capkernel.user.syscalls import EMPTY, Message, Syscalls
from servers.attackers.aim import MOST, Aim, Mode, Swap, between, place_of
from servers.attackers.attack import FIRST_TARGET, Attack

ROUNDS: Final = 40
TRANSFERS: Final = 20
"""The same with disks, whose requests are longer."""
OWN, OTHER = "own_dir", "../kept"
"""A directory of one's own, and one of somebody else's: names of the same length."""
MARK: Final = "mark"
"""A file in one's own."""
LONG: Final = 1 << 40
DATA: Final = 256
"""Bytes of data in a request."""
FIRST, SECTORS = 8, 2
READ_BACK: Final = 0x4000, 0x5000
"""Where sectors are read to, twice: the accomplice leaves it alone."""
PATIENCE_MS: Final = 5_000
SERVICE, NO_SERVICE = "fat_disk", "any_disk"
"""A service that may be restarted, and none."""
RESTARTS: Final = 100


class SpilledCalls(Syscalls):
    """Calls whose words lie in shared memory, each of them, however short the request is."""

    def __init__(self, pd: PD, region: SharedRegion) -> None:
        super().__init__(pd.sys.buffer)
        self.pd = pd
        self.region = region

    async def call(self, dest: int, message: Message = EMPTY) -> Message:
        """Ask."""
        if not message.label & SPILLED:
            data = b"".join(word.to_bytes(8, "little") for word in message.words)
            await self.pd.write(self.region.vaddr, data)
            message = Message(message.label | SPILLED, (0, len(data)), message.caps)
        return await super().call(dest, message)


class SharedAttack(Attack):
    """The means of an attacker who shares memory with the server, and with an accomplice."""

    def __init__(self, pd: PD, report: int, region: int, region_size: int) -> None:
        super().__init__(pd, report, region, region_size)
        self.shared = SharedRegion(region, region_size)
        self.spilled = Connection(SpilledCalls(pd, self.shared), self.inbox, self.shared)

    def through_memory(self, interface: Any) -> Any:
        """The server, asked through the memory."""
        return connect(interface, self.spilled, FIRST_TARGET)

    async def aim(self, *swaps: Swap) -> None:
        """Let these words go to and fro from now on, and no others."""
        await self.pd.write(place_of(self.shared), Aim(Mode.SWAPS, swaps).encode())

    async def end(self) -> None:
        """Let the accomplice stop."""
        await self.pd.write(place_of(self.shared), Aim(Mode.OVER).encode())

    async def judge(self, what: str, *, is_right: bool) -> None:
        """Something was carried out, and is as it may be, or not."""
        await (self.ledger.allowed(Trick.MEMORY) if is_right else self._way_in(what))

    async def failed(self, what: str, failure: Failure) -> None:
        """Something was refused: that is right, unless the server died of it."""
        await self.ledger.count(Trick.MEMORY, f"{what}: {failure}", is_refused=not isinstance(failure, ServerDied))

    async def _way_in(self, what: str) -> None:
        await self.ledger.count(Trick.MEMORY, what, is_refused=False)


def request_words(operation: Operation, *values: Any) -> list[int]:
    """The words of a request with these values."""
    names = [parameter.name for parameter in operation.data]
    return to_words(operation.request(**dict(zip(names, values, strict=True))))


def operation_named(interface: Any, name: str) -> Operation:
    """An interface's operation."""
    return next(each for each in operations_of(interface).values() if each.name == name)


def is_mixed(one: Sequence[int], other: Sequence[int], data: bytes) -> bool:
    """Whether each word is that of the one or of the other."""
    found = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    return len(found) == len(one) and all(word in pair for word, *pair in zip(found, one, other, strict=True))


def two_contents(attack: Attack, size: int) -> tuple[list[int], list[int]]:
    """Words of a content and of another one, which differ in as many as an accomplice can take."""
    one = [attack.chance.getrandbits(64) for _ in range(size // 8)]
    other = list(one)
    for place in attack.chance.sample(range(len(one)), min(MOST, len(one))):
        other[place] ^= (1 << 64) - 1
    return one, other


def bytes_of(words: Sequence[int]) -> bytes:
    """Words as they lie in memory."""
    return b"".join(word.to_bytes(8, "little") for word in words)


# File servers


async def directories(attack: SharedAttack) -> None:
    """A name that is one's own directory's, or leads to that of somebody else; a length; rights; data."""
    calm, root = attack.stub(Directory), attack.through_memory(Directory)
    own = await calm.make_directory(OWN)
    await (await own.create(MARK)).drop()
    enter = operation_named(Directory, "directory")
    permitted = request_words(enter, OWN, READ)
    await attack.aim(*between(permitted, request_words(enter, OTHER, READ)))
    for _ in range(ROUNDS):
        await _entered(attack, root)
    await attack.aim(Swap(0, len(OWN), LONG))
    for _ in range(ROUNDS):
        await _entered(attack, root)
    restrict = operation_named(Directory, "restrict")
    await attack.aim(*between(request_words(restrict, READ), request_words(restrict, READ_WRITE)))
    shown = await calm.directory(OWN, READ)
    for _ in range(ROUNDS):
        await _with_rights(attack, shown)
    await shown.drop()
    await _written(attack, await own.create("data"))
    await attack.end()
    await own.drop()


async def _entered(attack: SharedAttack, root: Directory) -> None:
    """Enter one's own directory: it is that one, or nothing."""
    try:
        found: Any = await root.directory(OWN, READ)
    except Failure as failure:
        await attack.failed("a directory was entered", failure)
        return
    calm = connect(Directory, attack.connection, found.cap)
    names = [entry.name for entry in await calm.list(0)]
    await attack.judge("somebody else's directory was entered", is_right=MARK in names)
    await found.drop()


async def _with_rights(attack: SharedAttack, shown: Any) -> None:
    """From a directory to read only: it cannot be made one to write."""
    inner = connect(Directory, attack.spilled, shown.cap)
    try:
        found: Any = await inner.restrict(READ)
    except Failure as failure:
        await attack.failed("rights were asked for", failure)
        return
    calm = connect(Directory, attack.connection, found.cap)
    await attack.judge("rights grew", is_right=(await calm.info("")).rights == READ)
    await found.drop()


async def _written(attack: SharedAttack, file: Any) -> None:
    """Data: each word is the one or the other, and what was written stays."""
    write = operation_named(File, "write")
    inner = connect(File, attack.spilled, file.cap)
    one, other = two_contents(attack, DATA)
    await attack.aim(*between(request_words(write, 0, bytes_of(one)), request_words(write, 0, bytes_of(other))))
    for _ in range(ROUNDS):
        try:
            await inner.write(0, bytes_of(one))
        except Failure as failure:
            await attack.failed("data were written", failure)
            continue
        found = [await file.read(0, DATA + 1) for _ in range(2)]
        is_right = found[0] == found[1] and is_mixed(one, other, found[0])
        await attack.judge("a file is what nobody wrote", is_right=is_right)
    await file.drop()


# The supervisor


async def orders(attack: SharedAttack) -> None:
    """An operator who may restart services: one that there is, and no other."""
    restart = operation_named(Supervision, "restart")
    watched, calm = attack.through_memory(Supervision), attack.stub(Supervision)
    await attack.aim(*between(request_words(restart, SERVICE), request_words(restart, NO_SERVICE)))
    before, done = await calm.services(), 0
    for _ in range(RESTARTS):
        try:
            await watched.restart(SERVICE)
            done += 1
            await attack.ledger.allowed(Trick.MEMORY)
        except Failure as failure:
            await attack.failed("a service was restarted", failure)
    await attack.end()
    for now, then in zip(await calm.services(), before, strict=True):
        wanted = then.incarnation + done if now.label == SERVICE else then.incarnation
        await attack.judge(f"{now.label} was restarted", is_right=now.incarnation == wanted)


# Disks


async def sectors(attack: SharedAttack) -> None:
    """Data that are written to a disk: they stay what they were at one moment, and nothing else of the disk changes."""
    block = attack.stub(Block)
    await block.info()
    beside = attack.chance.randbytes(SECTOR)
    for sector in (FIRST - 1, FIRST + SECTORS):
        await attack.pd.write(attack.region + READ_BACK[0], beside)
        await block.write(sector, 1, READ_BACK[0])
    one, other = two_contents(attack, SECTORS * SECTOR)
    await attack.pd.write(attack.region, bytes_of(one))
    await attack.aim(*between(one, other))
    for _ in range(TRANSFERS):
        try:
            await block.write(FIRST, SECTORS, 0)
            found = [await _sectors(attack, block, FIRST, SECTORS, place) for place in READ_BACK]
        except Failure as failure:
            # There is nothing in this that might be refused.
            await attack.judge(f"a disk came to grief: {failure}", is_right=False)
            continue
        is_right = found[0] == found[1] and is_mixed(one, other, found[0])
        await attack.judge("sectors are what nobody wrote", is_right=is_right)
    await attack.end()
    for sector in (FIRST - 1, FIRST + SECTORS):
        is_right = await _sectors(attack, block, sector, 1, READ_BACK[0]) == beside
        await attack.judge("a sector beside was changed", is_right=is_right)


async def _sectors(attack: Attack, block: Block, sector: int, count: int, place: int) -> bytes:
    """What is on the disk."""
    await block.read(sector, count, place)
    return await attack.pd.read(attack.region + place, count * SECTOR)


# The network


async def stream(attack: SharedAttack) -> None:
    """Data for a peer who sends back what comes: as many bytes as the server says, each word the one or the other."""
    own: Any = await attack.stub(Dialer).connect(PATIENCE_MS)
    inner = connect(Stream, attack.spilled, own.cap)
    write = operation_named(Stream, "write")
    one, other = two_contents(attack, DATA)
    request = request_words(write, bytes_of(one), PATIENCE_MS)
    await attack.aim(*between(request, request_words(write, bytes_of(other), PATIENCE_MS)))
    for _ in range(ROUNDS):
        await _echoed(attack, own, inner, one, other)
    await attack.aim(Swap(0, DATA, LONG))
    for _ in range(ROUNDS):
        await _echoed(attack, own, inner, one, one)
    await attack.end()
    await own.drop()


async def _echoed(attack: SharedAttack, own: Stream, inner: Stream, one: list[int], other: list[int]) -> None:
    try:
        sent = await inner.write(bytes_of(one), PATIENCE_MS)
    except Failure as failure:
        await attack.failed("data were sent", failure)
        return
    found = b""
    while len(found) < sent and (part := await own.read(sent - len(found), PATIENCE_MS)):
        found += part
    is_right = sent == DATA and is_mixed(one, other, found)
    await attack.judge("something else was sent", is_right=is_right)
