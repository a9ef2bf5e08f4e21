"""What is tried on servers that keep records, names and services."""

from functools import partial
from typing import Final

from capkernel.protocols.attacks import Trick
from capkernel.protocols.audit import MAX_BATCH, Audit, AuditReader
from capkernel.protocols.interface import Cap
from capkernel.protocols.log import Level, Log, LogReader
from capkernel.protocols.names import MAX_CHOSEN, NameSpace
from capkernel.protocols.supervision import Order, Supervision
from servers.attackers.attack import OWN_CNODE, Attack

FORGED: Final = "\n9 0 ERROR neighbour not me\r\x1b[2K"
MANY: Final = 2000
"""More than any quota."""
GUARDIAN: Final = 1
"""Our channel to the guardian."""
SERVICES: Final = ("supervisor", "guardian", "disk", "log", "timer", "")


async def log(attack: Attack) -> None:
    """Another author's entries, and more than one may write."""
    mine, reader = attack.stub(Log), attack.stub(LogReader)
    for name in ("", "a/b", "..", "neighbour/", "x" * 33, "a b", "\n"):
        await attack.refused(Trick.FORGERY, f"an author named {name!r}", mine.named(name))
    await attack.refused(Trick.RIGHTS, "the log was read", reader.tail(10))
    await attack.refused(Trick.INPUT, "an entry was too long", mine.append(Level.INFO, "x" * 401))
    await attack.more_than_its_quota("entries", MANY, partial(mine.append, Level.DEBUG, FORGED))
    below = await mine.named("other")
    await attack.more_than_its_quota("entries by another name", MANY, partial(below.append, Level.DEBUG, "x"))


async def audit(attack: Attack) -> None:
    """Records that look like others, and more than one may write."""
    mine, reader = attack.stub(Audit), attack.stub(AuditReader)
    await attack.refused(Trick.RIGHTS, "the trail was read", reader.read(0, 100))
    await attack.refused(Trick.INPUT, "a record was too long", mine.record(["x" * 401]))
    await attack.refused(Trick.INPUT, "too many records at a time", mine.record(["x"] * (MAX_BATCH + 1)))
    await attack.refused(Trick.INPUT, "no records", mine.record([]))
    forged = ["R 1 0 neighbour not me 00\nS 1 00", FORGED]
    await attack.more_than_its_quota("records", MANY, partial(mine.record, forged))


async def names(attack: Attack) -> None:
    """Names of somebody else, and more than one may have."""
    mine = attack.stub(NameSpace)
    for what, attempt in (
        ("somebody's cap was found", mine.lookup("kept")), ("somebody's space was entered", mine.enter("kept")),
        ("somebody's name was taken away", mine.unbind("kept")), ("somebody's name was shown", mine.fork(["kept"])),
        ("a space of a name that is not there", _shown(mine, "kept")),
    ):  # fmt: skip
        await attack.refused(Trick.RIGHTS, what, attempt)
    for name in ("", "a/b", "..\n", "\0", "x" * 65):
        await attack.refused(Trick.PATHS, f"{name!r} was bound", mine.bind(name, Cap(OWN_CNODE)))
    await attack.refused(Trick.QUOTAS, "too many names at a time", mine.fork(["x"] * (MAX_CHOSEN + 1)))
    bound = 0

    async def bind() -> None:
        nonlocal bound
        await mine.bind(f"name{bound}", Cap(OWN_CNODE))
        bound += 1

    await attack.more_than_its_quota("names", MANY, bind)
    for number in range(bound):
        await mine.unbind(f"name{number}")


async def _shown(mine: NameSpace, name: str) -> None:
    """Look through a part of one's own name space."""
    part = await mine.restrict([name], True)
    await part.lookup(name)


async def supervisor(attack: Attack) -> None:
    """Who may only look gives orders."""
    watched = attack.stub(Supervision)
    for label in SERVICES:
        for what, attempt in (
            ("was started anew", watched.restart(label)), ("was replaced", watched.update(label, 0)),
            ("was stopped", watched.order(label, Order.STOP, 0)),
        ):  # fmt: skip
            await attack.refused(Trick.RIGHTS, f"{label!r} {what}", attempt)


async def guardian(attack: Attack) -> None:
    """Who may only ask for its sign of life asks all the time."""
    for _ in range(MANY):
        await attack.pd.notify(GUARDIAN)
        await attack.ledger.allowed(Trick.SLOW)


async def nothing_more(attack: Attack) -> None:
    """What can be tried on any server is all."""
