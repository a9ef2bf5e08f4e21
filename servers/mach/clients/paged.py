"""Scenario MA-4, those who use the object: one touches every page, also the one whose pager is silent; one goes on."""

from typing import Any

from capkernel.protocols.client import connect
from capkernel.protocols.mach_memory import PAGE, AddressSpace
from capkernel.protocols.mach_ports import FOREVER
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

SPACE = 302
PLACE = 0x518_0000
PAGES, SILENT, WRITTEN = 8, 6, 4
DONE, WRONG, WAITED, AT_FIRST, AT_LAST, INFO = 0, 8, 16, 24, 32, 40
"""Offsets of the reader: 1 at the end; words that were not as they should be; ticks that the silent page took; what was
in it then, and after all; seven words of how the object stands.
"""
COUNT, LONGEST = 8, 16
"""Offsets of the other: pages that it read; the longest that one took, in ticks."""
NEW, OWN = 5000, 42
PAUSE, LONG = 500, 100_000


async def init(pd: PD) -> None:
    """Map the object, and use it."""
    connection = connection_of(pd)
    task = task_of(connection)
    right: Any = await task.look_up("object", FOREVER)
    space = connect(AddressSpace, connection, SPACE)
    number = await space.map(await right.derive(), PLACE, PAGES)
    if pd.name == "other":
        await _go_on(pd)
    await _touch_all(pd)
    info = await space.info(number)
    words = info.requests, info.default_requests, info.supplies, info.returns, info.default_returns, info.unasked
    for place, word in enumerate((info.resident, *words)):
        await pd.store(report + INFO + 8 * place, word)
    await pd.store(report + DONE, 1)


async def _touch_all(pd: PD) -> None:
    good = [page for page in range(PAGES) if page != SILENT]
    wrong = 0
    for page in good:
        wrong += await pd.load(PLACE + page * PAGE) != 1000 + page
    for page in range(WRITTEN):
        await pd.store(PLACE + page * PAGE, NEW + page)
    for page in good:
        wrong += await pd.load(PLACE + page * PAGE) != (NEW if page < WRITTEN else 1000) + page
    start = await pd.clock()
    await pd.store(report + AT_FIRST, await pd.load(PLACE + SILENT * PAGE))
    await pd.store(report + WAITED, await pd.clock() - start)
    await pd.store(PLACE + SILENT * PAGE, OWN)
    for page in 2 * good:
        wrong += await pd.load(PLACE + page * PAGE) != (NEW if page < WRITTEN else 1000) + page
    await pd.compute(LONG)
    for page in 2 * good:
        wrong += await pd.load(PLACE + page * PAGE) != (NEW if page < WRITTEN else 1000) + page
    await pd.store(report + AT_LAST, await pd.load(PLACE + SILENT * PAGE))
    await pd.store(report + WRONG, wrong)


async def _go_on(pd: PD) -> None:
    """Read pages 4, 5 and 7 in turn, for ever; nobody writes them."""
    count = longest = 0
    while True:
        page = (4, 5, 7)[count % 3]
        start = await pd.clock()
        word = await pd.load(PLACE + page * PAGE)
        longest = max(longest, await pd.clock() - start)
        count += word == 1000 + page
        await pd.store(report + COUNT, count)
        await pd.store(report + LONGEST, longest)
        await pd.compute(PAUSE)
