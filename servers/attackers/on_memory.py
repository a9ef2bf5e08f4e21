"""What is tried on who gives out memory and processes: more than the quota, and what belongs to others."""

from typing import Any, Final

from capkernel.protocols.attacks import Trick
from capkernel.protocols.interface import Cap, operations_of
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import Launcher, Process
from capkernel.user.messages import to_words
from capkernel.user.syscalls import Message
from servers.attackers.attack import OWN_ENDPOINT, Attack

MANY: Final = 600
SIZES: Final = (0, -PAGE, 1, PAGE - 1, 1 << 40, 1 << 62)
LARGEST: Final = 0x40_0000
"""Bytes of the largest segment."""


async def memory(attack: Attack) -> None:
    """More than the account has, in one piece and in many; and what is nobody's."""
    account = attack.stub(Account)
    left = (await account.info()).left
    for size in (*SIZES, left + PAGE):
        await attack.refused(Trick.QUOTAS, f"{size} bytes", account.allocate(1, size, Use.FRAMES))
        await attack.refused(Trick.QUOTAS, f"an account of {size} bytes", account.split(1, size))
    for number in (-1, 77, 1 << 62):
        await attack.refused(Trick.RIGHTS, f"memory {number} was found", account.memory(number))
        await attack.refused(Trick.RIGHTS, f"account {number} was found", account.account(number))
        await attack.refused(Trick.RIGHTS, f"memory {number} was taken back", account.release(number))
    await attack.refused(Trick.RIGHTS, "the system's account was closed", account.close())
    await attack.refused(Trick.RIGHTS, "the system's account was dissolved", account.dissolve())
    taken = 0

    async def one_more() -> None:
        nonlocal taken
        taken += 1
        await _forgotten(await account.allocate(taken, PAGE, Use.OBJECTS))

    await attack.more_than_its_quota("pages", MANY, one_more)
    await account.clear()
    inner = await account.split(5, PAGE)
    frames = await inner.allocate(1, PAGE, Use.FRAMES)
    for page in (1, -1, 1 << 40):
        await attack.refused(Trick.MEMORY, f"page {page} of one", frames.frame(page))
    await attack.refused(Trick.MEMORY, "frames were used for objects", frames.untyped(0))
    await account.clear()
    await attack.refused(Trick.MEMORY, "memory that was taken back", frames.frame(0))


async def pager(attack: Attack) -> None:
    """More frames than there are, and copies without end."""
    own = attack.stub(Pager)
    for size in SIZES:
        await attack.refused(Trick.QUOTAS, f"a segment of {size} bytes", own.zeros(size, 2))
        await attack.refused(Trick.QUOTAS, f"{size} frames", own.zeros(LARGEST, size if size <= 0 else 1 << 40))
    segment = await own.zeros(LARGEST, 2)

    async def copy() -> None:
        await _forgotten(await segment.snapshot())

    await attack.more_than_its_quota("copies of a large segment", MANY, copy)
    await segment.drop()
    await own.revoke()


async def processes(attack: Attack) -> None:
    """More processes and memory than the launcher has, and a program that is no file of the system's."""
    launcher = attack.stub(Launcher)
    quota = await launcher.quota()
    for name in ("", "x" * 65):
        await attack.refused(Trick.INPUT, f"a process named {name!r}", launcher.create(name))
    for memory, count in (
        (PAGE, quota.processes + 1), (quota.memory + PAGE, 1), (PAGE, 0), (PAGE, -1), (-PAGE, 1), (1 << 62, 1),
    ):  # fmt: skip
        await attack.refused(Trick.QUOTAS, f"{memory} bytes for {count} processes", launcher.split(memory, count))
    process: Any = await launcher.create("mallory")
    operations = operations_of(Process)
    load = Message(operations[1].label, (), (OWN_ENDPOINT,))
    await attack.lure("load", process.cap, load)
    page = Message(operations[10].label, (), (OWN_ENDPOINT,))
    await attack.lure("page", process.cap, page)
    give = Message(operations[2].label, to_words(operations[2].request("x" * 100)), (OWN_ENDPOINT,))
    reply = await attack.ask(process.cap, give)
    await attack.ledger.answered(Trick.INPUT, "a cap under a long name", reply, must_fail=True)
    for what, attempt in (
        ("a process without a program ran", process.start([], 0)),
        ("a launcher of more than there is", process.give_launcher("l", quota.memory + PAGE, 1)),
        ("our endpoint was a program", process.load(Cap(OWN_ENDPOINT))),
    ):  # fmt: skip
        await attack.refused(Trick.RIGHTS, what, attempt)
    # Who waits for a signal must not keep the server waiting.
    await process.watch(Cap(OWN_ENDPOINT))
    await process.kill()
    made: list[Any] = [process]

    async def one_more() -> None:
        made.append(await launcher.create("mallory"))

    await attack.more_than_its_quota("processes", quota.processes + 8, one_more)
    for each in made:
        await each.drop()


async def _forgotten(stub: Any) -> None:
    """Keep what was opened open, and no slot of ours."""
    await stub.forget()
