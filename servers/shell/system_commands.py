"""Commands for what else the system has: time, chance, the log, the audit trail, names."""

from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from capkernel.protocols.audit_trail import Check, Kind, verify
from capkernel.protocols.entropy import MAX_COUNT
from capkernel.protocols.failures import Failure, Malformed, NotFound
from capkernel.protocols.files import INLINE
from capkernel.protocols.interface import Cap
from capkernel.protocols.log import LogEntry
from capkernel.protocols.names import NameKind
from servers.shell.commands import Shell, command, content, describe
from servers.shell.gifts import Gift
from servers.text import visible

SHOWN: Final = 16
"""Entries of a log that are shown if nobody says how many."""
NS: Final = 10**9
TRAIL, HEAD = "/audit/trail", "/audit/head"
"""Where the audit server has its files."""


@command("date")
async def date(shell: Shell) -> None:
    """Say what the clock on the wall shows, in UTC."""
    now = await shell.clock.now()
    moment = datetime.fromtimestamp(now // NS, UTC)
    await shell.say(f"{moment:%Y-%m-%d %H:%M:%S}.{now % NS:09} UTC")


@command("random")
async def random(shell: Shell, count: str = "16") -> None:
    """Show so many random bytes from the entropy device."""
    left = _count(count)
    data = b""
    while left > len(data):
        data += await shell.entropy.read(min(MAX_COUNT, left - len(data)))
    await shell.say(data.hex())


@command("log")
async def log(shell: Shell, count: str = str(SHOWN)) -> None:
    """Show the last entries of the log: number, seconds since the start, how much it matters, who wrote it, what."""
    wanted = _count(count)
    last = await shell.log_reader.tail(1)
    found: list[LogEntry] = []
    after = last[-1].number - wanted if last else 0
    while more := await shell.log_reader.after(max(0, after)):
        found += more
        after = more[-1].number
    rows = [
        f"{each.number:>5} {each.time_us / 1e6:>12.6f} {each.level.name:7} {each.author:16} {visible(each.text)}"
        for each in found
    ]
    await shell.say("\n".join(rows) or "the log is empty")


@command("audit")
async def audit(shell: Shell, count: str = str(SHOWN)) -> None:
    """Show the last records of the audit trail, and verify all of it, as it lies in /audit.

    Every record and every seal; that nothing stands behind the last seal; that the head is this trail's, and the one
    that the audit server wrote. If /audit cannot be read, what the audit server reads is verified, and that is said.
    """
    wanted = _count(count)
    info, key = await shell.audit_reader.info(), await shell.audit_reader.public_key()
    wrong: list[str] = []
    unseen = ""
    try:
        # The head first: a trail may go on behind its head, but a head not behind its trail.
        head, trail = await _lying(shell, HEAD, wrong), await _lying(shell, TRAIL, wrong) or b""
    except Failure as failure:
        unseen = describe(failure)
        head, trail = info.head.encode(), await _read_by_server(shell, info.size)
    verdict = verify(trail, key, _checker(key), head=head, at_least=info.number)
    wrong += [finding.text for finding in verdict.findings]
    is_foreign = any(finding.kind is Kind.OTHER_TRAIL for finding in verdict.findings)
    has_others = head is not None and head != info.head.encode() and not is_foreign
    # (If nobody has recorded anything meanwhile.)
    if has_others and (await shell.audit_reader.info()).head == info.head:
        wrong.append("the head is not the one that the audit server wrote last")
    records = [line for line in trail[: verdict.size].decode(errors="replace").split("\n") if line.startswith("R ")]
    rows = [_shown(line) for line in records[-wanted:]]
    rows += [f"WRONG: {each}" for each in wrong]
    if unseen:
        rows.append(f"NOT SEEN: what lies in /audit cannot be read: {unseen}")
    # The server knows how many are missing by now in a gap that the trail has only opened.
    known = sum(gap.count for _, gap in verdict.gaps)
    missing = max(verdict.missing, known + info.missing)
    if missing:
        least = "at least " if verdict.is_missing_more else ""
        rows.append(f"MISSING: {least}{missing} records, which were not written")
    right = "every seal is right" + " in what the audit server reads" * bool(unseen)
    rows.append(f"{info.number} records; {'NOT INTACT' if wrong else right}")
    await shell.say("\n".join(rows))


async def _lying(shell: Shell, path: str, wrong: list[str]) -> bytes | None:
    """What is in a file; None if there is none, which is wrong."""
    try:
        file = await shell.paths.file(path)
    except NotFound:
        wrong.append(f"there is no {path}")
        return None
    try:
        return await content(file)
    finally:
        await file.drop()


async def _read_by_server(shell: Shell, size: int) -> bytes:
    """The trail, as far as the audit server knows it."""
    found = b""
    while len(found) < size:
        more = await shell.audit_reader.read(len(found), min(INLINE, size - len(found)))
        if not more:
            break  # Somebody has cut the trail off: what is missing is found when it is verified.
        found += more
    return found


def _checker(key: bytes) -> Check:
    """Whether signatures are of this key."""

    def check(signature: bytes, data: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
        except InvalidSignature:
            return False
        return True

    return check


def _shown(line: str) -> str:
    """A record's line of the trail's file, without its hash (``protocols.audit_trail``)."""
    _, number, time_us, author, text = line.rpartition(" ")[0].split(" ", 4)
    return f"{number:>5} {int(time_us) / 1e6:>12.6f} {author:8} {text}"


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 1 << 16:
        raise Malformed(f"{text!r} is no number from 1 to {1 << 16}")
    return int(text)


@command("bind")
async def bind(shell: Shell, name: str, what: str) -> None:
    """Give a name to a cap at the name server; WHAT is as for `run`. A process is given names by names:A,B."""
    gift: Gift = await shell.giver.make(what, name)
    try:
        if gift.lent is None:
            raise Malformed("a launcher is a process's, it cannot be bound to a name")
        await shell.names.bind(name, Cap(gift.lent.cap))
    except Exception:
        await gift.take_back()
        raise
    shell.bound[name] = gift
    await shell.record(f"the name {name} was bound to {gift.words}")


@command("unbind")
async def unbind(shell: Shell, name: str) -> None:
    """Forget a name, and take back what it led to from whoever looked it up."""
    await shell.names.unbind(name)
    gift = shell.bound.pop(name, None)
    if gift is not None:
        await gift.take_back()
    await shell.record(f"the name {name} was unbound")


@command("names")
async def names(shell: Shell) -> None:
    """List the names at the name server."""
    rows: list[str] = []
    while more := await shell.names.names(len(rows)):
        for each in more:
            gift = shell.bound.get(each.name)
            words = each.kind.value if each.kind is NameKind.SPACE or gift is None else gift.words
            rows.append(f"{each.name:16} {words}")
    await shell.say("\n".join(rows) or "no name is bound")
