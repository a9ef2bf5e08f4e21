"""A customer of the compiler who would rather not pay: it tries to have the bill overwritten."""

from collections.abc import Awaitable
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.compiling import AclFiles, Compiler, NamingCompiler
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ_WRITE, Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

report: int = 0

HOME, LISTED, BY_NAME = 0, 1, 2
"""Channels."""
BY_CAP = 310
"""A cap that takes others along."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
JOBS = 3
DONE, SERVED, DIRECT, NAME_CHARGES, CAP_TRIES, CAP_REFUSED, CAP_CHARGES = range(7)
"""Words of the report: the end; jobs of both compilers that gave the right output; whether it may write the bill
itself; charges on the bill after it was named as output; tries to reach the other bill, those that failed, its charges.
"""


class Program:
    """The customer."""

    async def init(self, pd: PD) -> None:
        """First as is expected, then the trick."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        home: Any = connect(Directory, connection, BASE_ENDPOINT_CAP + HOME)
        listed: Any = connect(AclFiles, connection, BASE_ENDPOINT_CAP + LISTED)
        by_name: Any = connect(NamingCompiler, connection, BASE_ENDPOINT_CAP + BY_NAME)
        by_cap: Any = connect(Compiler, connection, BY_CAP)
        words = [0] * 7
        file = await home.create("out")
        for number in range(JOBS):
            await by_name.compile(f"program {number}", "out")
            await by_cap.compile(f"program {number}", file)
            words[SERVED] += await listed.read("out") == await file.read(0, 512)
        words[DIRECT] = not await _fails(listed.write("bill", b""))
        await by_name.compile("a trick", "bill")
        words[NAME_CHARGES] = await by_name.charges()
        # There is no name to be said here; what it can hand over is what it has.
        for attempt in (
            home.open("bill", READ_WRITE), home.open("../bill", READ_WRITE),
            by_cap.compile("a trick", home), by_cap.compile("a trick", by_cap), by_cap.compile("a trick", by_name),
        ):  # fmt: skip
            words[CAP_TRIES] += 1
            words[CAP_REFUSED] += await _fails(attempt)
        words[CAP_CHARGES] = await by_cap.charges()
        words[DONE] = 1
        for place, word in enumerate(words):
            await pd.store(report + 8 * place, int(word))


async def _fails(attempt: Awaitable[Any]) -> bool:
    try:
        await attempt
    except Failure:
        return True
    return False
