"""Holds on to what it was given as ``dir``: copies the cap within its own CSpace, and opens what is below it. When the
cap is taken away, it tries whether anything of that still works. The exit code is how much does.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, Directory, Kind
from capkernel.protocols.spawn import given
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.process import SLOTS, Process
from servers.programs.telling import MISSING, described, lacks, tell

PAUSE = 5_000
"""Ticks of computing between two looks."""
NOTHING = 65
"""The exit code if what it was given is of no use."""


async def main(process: Process) -> int:
    """Hold on."""
    if await lacks(process, "dir") or process.inbox is None:
        return MISSING
    try:
        uses = await _grab(process, process.inbox)
    except (Failure, KernelError) as problem:
        # It may be taken away at any moment, and be something else to begin with.
        why = described(problem) if isinstance(problem, Failure) else f"the kernel says {problem.name}"
        await tell(process, f"cling: there is nothing to hold on to: {why}")
        return NOTHING
    await tell(process, f"cling: {await _working(process, uses)} of {len(uses)} caps work")
    while "dir" in process.caps:
        await process.compute(PAUSE)
        await process.refresh()
    working = await _working(process, uses)
    await tell(process, f"cling: it was taken away; {working} of {len(uses)} caps work")
    return working


async def _grab(process: Process, inbox: Inbox) -> dict[str, Callable[[], Awaitable[Any]]]:
    """All that can be made of the cap, as uses of it. Raises failures."""
    directory: Any = given(Directory, process, "dir")
    copy, own = inbox.slots.alloc(), process.caps[SLOTS]
    await stubs.cnode_copy(
        process.sys, own, dest_index=copy, dest_depth=WORD_BITS, src_root=own, src_index=directory.cap,
        src_depth=WORD_BITS, rights=rt.ALL,
    )  # fmt: skip
    hidden = connect(Directory, Connection(process.sys, inbox), copy)
    derived: Any = await directory.derive()
    uses: dict[str, Callable[[], Awaitable[Any]]] = {
        "the cap": lambda: directory.info(""), "a hidden copy of it": lambda: hidden.info(""),
        "one derived from it": lambda: derived.info(""),
    }  # fmt: skip
    names = [entry.name for entry in await directory.list(0) if entry.kind is Kind.FILE]
    if names:
        file: Any = await directory.open(names[0], READ)
        uses["a file opened through it"] = lambda: file.read(0, 1)
    return uses


async def _working(process: Process, uses: dict[str, Callable[[], Awaitable[Any]]]) -> int:
    """How many uses succeed; the others are reported."""
    count = 0
    for what, use in uses.items():
        try:
            await use()
        except Failure as failure:
            await tell(process, f"cling: {what}: {described(failure)}")
        else:
            count += 1
    return count
