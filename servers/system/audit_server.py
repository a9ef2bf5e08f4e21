"""The audit server: records, chained and sealed in batches (``protocols.audit_trail``), in files only it can open.

A record is acknowledged when its batch, its seal and the new head have been synced. The private key comes from the
entropy server at the first start, and lies in the directory that the system's description gives to this server alone:
whoever else reads that directory can forge. What is found at a start is verified first. Behind the last seal there may
be what a crash left: nothing there was acknowledged, it is cut off, and a record says so. Anything else that does not
verify is left as it is, and every request answered with ``Corrupt``.

Records that cannot be written, as on a full disk, or come too fast are not lost in silence: before the first is, a
record says that from there on some are missing. For that one record, and for the trail's beginning, there is room that
the file system keeps back (the right ``RESERVE``, if the system's description gives it). How many they are is counted,
in memory that outlives the server if it has some (``gaps``): the next that can be written without the reserve are
sealed together with one that says what is missing before it; then the reserve is free again.

The trail is whole in its files whenever a request was answered, so who gives way to another (``state``) hands over
little: who may write how much, and caps.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeVar

from attrs import define, evolve, field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from capkernel.protocols.audit import MAX_BATCH, MAX_TEXT, Audit, AuditReader, TrailInfo
from capkernel.protocols.audit_trail import OWN, Chain, Gap, Record, verify
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import (
    Corrupt,
    DeviceError,
    Failure,
    Gone,
    Malformed,
    QuotaExceeded,
    ServerDied,
    TooLarge,
)
from capkernel.protocols.files import INLINE, READ_WRITE, RESERVE, Directory, File
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, ByTable, Role, Serves, Uses
from servers.system.audit_gap import Missing, MissingRecords
from servers.system.authors import read_authors
from servers.system.pages import close, open_or_create, read_all, write_all
from servers.system.rate import TICKS_PER_US, Rate
from servers.system.retiring import Handover, decline
from servers.text import visible

T = TypeVar("T")
names: int = 0
names_size: int = 0x1000
state: int = 0
state_size: int = 0x4000
gaps: int = 0
gaps_size: int = 0x2000

FILES, SUPERVISOR, WRITERS, READERS, ENTROPY, UPDATE = 0, 1, range(2, 30), range(30, 40), 40, 41
"""Channels; a writer's name is in the table ``audit`` of ``names``."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
TRAIL, HEAD, KEY, PUBLIC_KEY = "trail", "head", "key", "public_key"
KEY_BYTES: Final = 32
TRIES: Final = 4
"""How often a batch, or a look at the trail, is begun whose file server dies."""
BURST, INTERVAL = 64, 5_000 * TICKS_PER_US
DIED: Final = "the file server died again and again"


class Trail:
    """The files, and what is known of them since they were opened."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.key: Ed25519PrivateKey | None = None
        self.chain = Chain(0, b"")
        self.open_gap: tuple[int, Gap] | None = None
        """The gap that the trail ends with, and the record that opens it."""
        self.rights = READ_WRITE
        """With the one to go into what is kept back, if the directory's cap has it."""
        self.trail: File | None = None
        self.into_reserve: File | None = None
        """The trail again, with that right."""
        self.head: File | None = None
        self.size = 0
        self.head_line = b""
        self.is_open = False

    async def open(self, entropy: Entropy) -> int:
        """Find everything, or make it; how many bytes were cut off. Raises Corrupt, or a failure of the files."""
        await self.close()
        self.rights = READ_WRITE | (await self.directory.info("")).rights & RESERVE
        files: list[File] = []
        try:
            for name in (TRAIL, HEAD, KEY):
                files.append(await open_or_create(self.directory, name, self.rights))
            files.append(await self.directory.open(TRAIL, READ_WRITE))
            into_reserve, head, key, trail = files
            cut = await self._verified(trail, head, key, entropy)
            self.into_reserve = into_reserve
            return cut
        finally:
            for file in files:
                if all(file is not each for each in (self.trail, self.head, self.into_reserve)):
                    await close(file)

    async def _verified(self, trail: File, head: File, key: File, entropy: Entropy) -> int:
        """Look at what there is, and go on behind it; how many bytes were cut off."""
        content, head_line = await read_all(trail), await read_all(head)
        self.key = await self._key(key, entropy, is_new=not content and not head_line)
        verdict = verify(content, self.public_key, self._check, head=head_line or None)
        if not verdict.is_unfinished:
            raise Corrupt(f"the trail was changed: {verdict.findings[0].text}")
        if verdict.findings:
            await trail.resize(verdict.size)
        # Who wrote what was found may have died before it was synced, and the head must not run ahead of the trail.
        await trail.sync()
        await head.sync()
        self.chain, self.size, self.head_line = verdict.chain, verdict.size, head_line
        self.open_gap = verdict.open_gap
        self.trail, self.head = trail, head
        await self._write_head()
        self.is_open = True
        return len(content) - verdict.size

    async def close(self) -> None:
        """Give up the files; they are found again."""
        self.is_open = False
        for file in (self.trail, self.head, self.into_reserve):
            if file is not None:
                await close(file)
        self.trail = self.head = self.into_reserve = None

    async def _key(self, file: File, entropy: Entropy, *, is_new: bool) -> Ed25519PrivateKey:
        secret = await read_all(file)
        if len(secret) != KEY_BYTES:
            if not is_new:
                raise Corrupt("there is a trail, and no key to it")
            secret = await entropy.read(KEY_BYTES)
            await file.resize(0)
            await write_all(file, 0, secret)
        # Nothing may be signed with a key that is lost with the file server.
        await file.sync()
        key = Ed25519PrivateKey.from_private_bytes(secret)
        public = await open_or_create(self.directory, PUBLIC_KEY, self.rights)
        line = key.public_key().public_bytes_raw().hex().encode() + b"\n"
        if await read_all(public) != line:
            # Else there need be no room for it: a full disk's trail can be read.
            await write_all(public, 0, line)
        # Who wrote what was found may have died before it was synced.
        await public.sync()
        await close(public)
        return key

    @property
    def public_key(self) -> bytes:
        """The public key. Raises Corrupt if there is none."""
        if self.key is None:
            raise Corrupt("there is no key")
        return self.key.public_key().public_bytes_raw()

    def sealed(self, records: list[Record]) -> tuple[bytes, Chain]:
        """The lines of a batch, and what the trail is with it. Raises Corrupt."""
        if self.key is None:
            raise Corrupt("there is no key")
        return self.chain.sealed(records, self.key.sign)

    async def read(self, offset: int, size: int) -> bytes:
        """What is in the trail there. Raises failures; the files are to be opened again if their server is anew."""
        if self.trail is None or not self.is_open:
            raise Corrupt("the trail is not open")
        try:
            return await self.trail.read(offset, max(0, min(size, self.size - offset)))
        except (ServerDied, Gone):
            self.is_open = False
            raise

    async def write(self, lines: bytes, chain: Chain) -> None:
        """Write a batch, which closes a gap; it lasts when this returns. Raises failures; then the files are to be
        opened again.
        """
        await self._write(self.trail, lines, chain, None)

    async def begin(self, record: Record) -> None:
        """Write the first record, if need be into the reserve."""
        await self._write(self.into_reserve, *self.sealed([record]), None)

    async def open_the_gap(self, gap: Gap, now_us: int) -> None:
        """Say that records are missing from here on, if need be into the reserve; as ``write``."""
        number = self.chain.number + 1
        lines, chain = self.sealed([Record(number, now_us, OWN, gap.announcement)])
        await self._write(self.into_reserve, lines, chain, (number, gap))

    async def _write(self, file: File | None, lines: bytes, chain: Chain, gap: tuple[int, Gap] | None) -> None:
        if file is None or not self.is_open:
            raise Corrupt("the trail is not open")
        self.is_open = False
        await write_all(file, self.size, lines)
        await file.sync()
        self.chain, self.size, self.open_gap = chain, self.size + len(lines), gap
        await self._write_head()
        self.is_open = True

    async def _write_head(self) -> None:
        if self.head is None or self.key is None or not self.chain.number:
            return
        line = self.chain.head(self.key.sign)
        if line != self.head_line:
            if len(line) < len(self.head_line):
                await self.head.resize(len(line))
            await write_all(self.head, 0, line)
            await self.head.sync()
            self.head_line = line

    def _check(self, signature: bytes, data: bytes) -> bool:
        if self.key is None:
            return False
        try:
            self.key.public_key().verify(signature, data)
        except InvalidSignature:
            return False
        return True


@define(eq=False)
class Auditor:
    """The trail, opened when it must be."""

    pd: PD
    trail: Trail
    entropy: Entropy
    missing: MissingRecords = field(factory=MissingRecords)
    cut: int = 0
    """Bytes without a seal that were cut off, which no record says yet."""

    async def ready(self) -> Trail:
        """The trail, open; it says what is missing, if it can. Raises Corrupt, DeviceError."""

        async def nothing(trail: Trail) -> Trail:
            return trail

        trail = await self._again(nothing, DIED)
        if not self.missing.value.gap.count and not self.cut:
            return trail
        with suppress(Failure):
            await self.record(OWN, [])
        return await self._again(nothing, DIED)

    async def _opened(self) -> Trail:
        if not self.trail.is_open:
            try:
                cut = await self.trail.open(self.entropy)
            except DeviceError:
                # What was written before may have been lost, which is told once; what is there now is read again.
                cut = await self.trail.open(self.entropy)
            await self.missing.become(self.missing.value.seen(self.trail.chain, self.trail.open_gap))
            now = await self.pd.clock() // TICKS_PER_US
            self.cut += cut
            if not self.trail.chain.number:
                said = f"the trail begins; public key {self.trail.public_key.hex()}"
                await self.trail.begin(Record(1, now, OWN, said))
        return self.trail

    async def record(self, author: str, texts: list[str]) -> int:
        """Write records, and before them what was cut off and what is missing; the number of the last. Raises failures,
        after the trail has said that records are missing, if it can.
        """
        now = await self.pd.clock() // TICKS_PER_US
        target: Chain | None = None

        async def write(trail: Trail) -> int:
            nonlocal target
            # After a try whose end was not seen: the batch is there if the trail ends as it was to end.
            if trail.chain != target:
                first, gap = trail.chain.number + 1, self.missing.value.gap
                said = [(author, visible(text)) for text in texts]
                if gap.count:
                    said.insert(0, (OWN, gap.text))
                if self.cut:
                    said.insert(0, (OWN, f"{self.cut} bytes were cut off, which had no seal"))
                if not said:
                    return trail.chain.number
                records = [Record(first + n, now, *each) for n, each in enumerate(said)]
                lines, target = trail.sealed(records)
                await trail.write(lines, target)
            return trail.chain.number

        try:
            number = await self._again(write, f"{DIED}; the records may be there or not")
        except Failure:
            await self.miss(len(texts), author, target)
            raise
        await self.missing.become(Missing())
        self.cut = 0
        return number

    async def miss(self, count: int, author: str, end: Chain | None = None) -> None:
        """Records were not written; or they were, if the trail turns out to have that end. The trail says that some are
        missing from here on, unless it does already; if nothing at all can be written, the next time that it is tried.
        """
        now = await self.pd.clock() // TICKS_PER_US
        await self.missing.become(self.missing.value.with_failed(count, author, now, end))

        async def announce(trail: Trail) -> None:
            missing = self.missing.value
            if missing.gap.count and trail.open_gap is None:
                await self.missing.become(evolve(missing, opening=trail.chain.number + 1))
                await trail.open_the_gap(missing.gap, now)

        with suppress(Failure):
            await self._again(announce, DIED)

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes of the trail. Raises failures."""
        return await self._again(lambda trail: trail.read(offset, size), DIED)

    async def _again(self, work: Callable[[Trail], Awaitable[T]], otherwise: str) -> T:
        """Do something with the open trail, again if the file server died. Raises DeviceError if it dies each time."""
        for _ in range(TRIES):
            try:
                return await work(await self._opened())
            except (ServerDied, Gone):
                continue
        raise DeviceError(otherwise)


class AuditServant(Audit):
    """The trail, for one author."""

    def __init__(self, auditor: Auditor, author: str) -> None:
        self.auditor = auditor
        self.author = author
        self.rate = Rate(BURST, INTERVAL)

    async def record(self, texts: list[str]) -> int:
        """Records."""
        if not 0 < len(texts) <= MAX_BATCH:
            raise Malformed(f"1 to {MAX_BATCH} records are written at a time, not {len(texts)}")
        longest = max(len(text.encode()) for text in texts)
        if longest > MAX_TEXT:
            raise TooLarge(f"a record has at most {MAX_TEXT} bytes, not {longest}")
        if not self.rate.take(await self.auditor.pd.clock()):
            await self.auditor.miss(len(texts), self.author)
            raise QuotaExceeded("too many records in too short a time")
        return await self.auditor.record(self.author, texts)


class ReaderServant(AuditReader):
    """The trail, for one who may check it."""

    def __init__(self, auditor: Auditor) -> None:
        self.auditor = auditor

    async def public_key(self) -> bytes:
        """The key for seals."""
        return (await self.auditor.ready()).public_key

    async def info(self) -> TrailInfo:
        """How far the trail goes."""
        trail = await self.auditor.ready()
        missing = self.auditor.missing.value.gap.count
        return TrailInfo(trail.chain.number, trail.size, trail.head_line.decode(), missing)

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes of it."""
        if not 0 <= size <= INLINE or offset < 0:
            raise Malformed(f"0 to {INLINE} bytes are read at a time, from 0 on; not {size} from {offset}")
        return await self.auditor.read(offset, size)


@frozen
class KeptWriter:
    """How much the author on a channel may still write."""

    channel: int
    rate: Rate


@frozen
class KeptAudit:
    """For the next program: the rates, and caps with the channels whose objects they lead to."""

    rates: list[KeptWriter]
    channels: list[int]
    caps: list[GivenCap]


def keep_audit(servants: Mapping[int, Interface], service: Service) -> KeptAudit:
    """What everybody may still write, and what was given out: nothing but further caps to what channels have."""
    given, caps = given_caps(service)
    rates = [KeptWriter(channel, each.rate) for channel, each in servants.items() if isinstance(each, AuditServant)]
    channels = [next(channel for channel, each in servants.items() if each is found) for found in given]
    return KeptAudit(rates, channels, caps)


def restore_audit(kept: KeptAudit, servants: Mapping[int, Interface], service: Service) -> None:
    """Go on from there. Raises ValueError if no former life can have written this down."""
    for each in kept.rates:
        servant = servants.get(each.channel)
        if isinstance(servant, AuditServant):
            servant.rate.go_on_from(each.rate)
    if not set(kept.channels) <= set(servants):
        raise ValueError("a cap leads to what no channel has")
    restore_given(service, [servants[channel] for channel in kept.channels], kept.caps)


def served(text: str) -> dict[int, Serves]:
    """Whom it serves, by channel, with this table of names. Raises ChannelNameError."""
    writers = [channel for channel in read_authors(text) if channel in WRITERS]
    return dict.fromkeys(writers, Serves(Audit)) | dict.fromkeys(READERS, Serves(AuditReader))


class Program:
    """The server."""

    uses: ClassVar[Uses] = Uses(
        asks={
            BASE_ENDPOINT_CAP + FILES: Asks(Directory, to_change=True), BASE_ENDPOINT_CAP + ENTROPY: Asks(Entropy),
        },
        serves=ByTable("names", served),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"names"}), holds=frozenset({ENDPOINT}),
    )

    def __init__(self) -> None:
        self.auditor: Any = None
        self.service: Any = None
        self.handover: Any = None
        self.servants: dict[int, Interface] = {}

    async def init(self, pd: PD) -> None:
        """Find the trail, and serve."""
        found = read_authors((await pd.read(names, names_size)).rstrip(b"\0").decode())
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        directory = connect(Directory, connection, BASE_ENDPOINT_CAP + FILES)
        entropy = connect(Entropy, Connection(pd.sys), BASE_ENDPOINT_CAP + ENTROPY)
        missing = MissingRecords(SharedRegion(gaps, gaps_size) if gaps else None)
        await missing.load()
        self.auditor = Auditor(pd, Trail(directory), entropy, missing)
        # One servant a channel, for ever: a client who closes his cap does not get a new rate with the next one.
        self.servants = {
            channel: AuditServant(self.auditor, name) for channel, name in found.items() if channel in WRITERS
        }
        self.servants |= {channel: ReaderServant(self.auditor) for channel in READERS}
        self.service = Service(pd, roots=self.servants.get, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()
        try:
            await self.auditor.ready()
        except Failure as failure:
            await pd.print(f"audit: {failure}\n")
        if state:
            self.handover = Handover(pd, KeptAudit, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(self._take_up)

    async def _take_up(self, kept: KeptAudit) -> None:
        restore_audit(kept, self.servants, self.service)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        if ch != UPDATE:
            await pd.notify(SUPERVISOR)
        elif self.handover is None:
            await decline(pd, "there is no memory that outlives what everybody may write")
        else:
            await self.auditor.trail.close()
            await self.handover.give_way(keep_audit(self.servants, self.service))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
