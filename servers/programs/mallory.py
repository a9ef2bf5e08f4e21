"""Tries what it was not given, in every way that a process has, and reports what came of each try.

It uses what is there: a directory ``home``, a ``launcher`` and a ``program`` for it, an account ``memory``, its own
CSpace. Each try says whether it was refused, and by whom. The exit code is how many succeeded: none, if the directory
is one to read. In one that it may change some do; then they were no crimes.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.client import Stub
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Directory, File
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.processes import Launcher
from capkernel.protocols.spawn import Share, given, spawn
from capkernel.user import process as user
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.process import Process
from servers.programs.telling import described, tell

FORGED_BADGE = 1 << 63 | 2
"""As a client would have whom the description wired to the server's channel 2."""
GUESSED = 300, 74, 310, 5 << 58, 7 << 58
"""Addresses at which servers and shells have their caps."""
BURST = 8


class Tries:
    """What is tried, and what came of it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.succeeded = 0
        self.tried = 0

    async def refused(self, what: str, attempt: Callable[[], Awaitable[Any]]) -> None:
        """Try something that must not succeed."""
        self.tried += 1
        try:
            result = await attempt()
        except Failure as failure:
            await tell(self.process, f"refused  {what}: the server says {described(failure)}")
        except KernelError as error:
            await tell(self.process, f"refused  {what}: the kernel says {error.name}")
        else:
            self.succeeded += 1
            got = f"a cap to a {result.interface.__name__}" if isinstance(result, Stub) else str(result or "done")
            await tell(self.process, f"SUCCESS  {what}: {got}")


async def main(process: Process) -> int:
    """Try everything."""
    tries = Tries(process)
    await _guess(process, tries)
    for needed, attack in (
        ({"home"}, _climb), ({"home"}, _forge), ({"launcher", "program"}, _multiply), ({"memory"}, _grow),
    ):  # fmt: skip
        if needed <= process.caps.keys():
            try:
                await attack(process, tries)
            except Failure as failure:
                # What she was given may be of another kind, or be taken away meanwhile.
                await tell(process, f"mallory: {' and '.join(sorted(needed))}: {described(failure)}")
    await tell(process, f"mallory: {tries.tried} tries, {tries.succeeded} succeeded")
    return tries.succeeded


async def _guess(process: Process, tries: Tries) -> None:
    """Addresses where others have caps. The kernel looks in the caller's own CSpace, so nothing is there."""

    async def probe(slot: int) -> str:
        """Copy a cap: that works only if one is there."""
        await stubs.cnode_copy(
            process.sys, process.caps[user.SLOTS], dest_index=user.END_SLOT - 1, dest_depth=WORD_BITS,
            src_root=process.caps[user.SLOTS], src_index=slot, src_depth=WORD_BITS, rights=rt.ALL,
        )  # fmt: skip
        return f"there is a cap at {slot:#x}"

    if user.SLOTS in process.caps:
        for slot in GUESSED:
            await tries.refused(f"to find a cap at address {slot:#x}", partial(probe, slot))


async def _climb(process: Process, tries: Tries) -> None:
    """Out of a directory, and beyond its rights."""
    home = given(Directory, process, "home")
    for name in ("..", ".", "/", "../..", "a/../.."):
        await tries.refused(f"to open the directory {name!r}", partial(home.directory, name, READ))
    names = [entry.name for entry in await home.list(0)]
    for name in names[:1]:
        await tries.refused(f"to open {name!r} to write", partial(home.open, name, WRITE))
        await tries.refused(f"to remove {name!r}", partial(home.remove, name))
    await tries.refused("to create a file", partial(home.create, "mallory was here"))
    await tries.refused("to get a cap with the right to write", partial(home.restrict, READ_WRITE))


async def _forge(process: Process, tries: Tries) -> None:
    """Another badge for a server's endpoint: to be another client, or to have another object."""
    if user.SLOTS not in process.caps or process.inbox is None:
        return
    own, cap = process.caps[user.SLOTS], process.caps["home"]
    slot = process.inbox.slots.alloc()

    async def mint(badge: int) -> str:
        await stubs.cnode_mint(
            process.sys, own, dest_index=slot, dest_depth=WORD_BITS, src_root=own, src_index=cap, src_depth=WORD_BITS,
            rights=rt.ALL, badge=badge,
        )  # fmt: skip
        return "a cap with a badge of my choice"

    await tries.refused("to forge another client's badge", lambda: mint(FORGED_BADGE))
    await tries.refused("to forge another object's badge", lambda: mint(FORGED_BADGE | 1 << 22))
    process.inbox.slots.free(slot)


async def _grow(process: Process, tries: Tries) -> None:
    """Beyond its account of memory."""
    account = given(Account, process, "memory")
    quota = (await account.info()).quota
    await tries.refused("to take more memory than the quota", lambda: account.allocate(1, quota + PAGE, Use.FRAMES))
    await tries.refused("to give more memory than the quota", lambda: account.split(2, quota + PAGE))


async def _multiply(process: Process, tries: Tries) -> None:
    """Beyond its share of processes and memory."""
    launcher, program = given(Launcher, process, "launcher"), given(File, process, "program")
    quota = await launcher.quota()
    await tries.refused("to split off more processes than it has", lambda: launcher.split(PAGE, quota.processes + 1))
    await tries.refused("to split off more memory than it has", lambda: launcher.split(quota.memory + PAGE, 1))
    await tries.refused(
        "to give a child more than it has",
        lambda: _child(launcher, program, {"launcher": Share(quota.memory + PAGE, 1)}),
    )

    async def burst() -> str:
        for _ in range(quota.processes + BURST):
            await _child(launcher, program, {})
        return "more processes than the share allows"

    await tries.refused("to start more processes than its share", burst)


async def _child(launcher: Launcher, program: File, caps: dict[str, Any]) -> Any:
    return await spawn(launcher, program, ["child"], caps, name="child")
