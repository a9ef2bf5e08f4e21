"""Scenario MA-4, the pager: a memory object of eight pages; it does not answer for one of them, or only much later."""

from typing import Any

from capkernel.protocols.mach_memory import PAGE, PageMessage
from capkernel.protocols.mach_ports import DEFAULT_LIMIT
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.mach.external_pager import ExternalPager
from servers.mach.tasks import connection_of, task_of

shared: int = 0
shared_size: int = 0x2000
store: int = 0
"""The object's pages."""
report: int = 0

KEY = "object"
REQUESTS, RETURNS, LATE = 0, 8, 16
"""Offsets: what was asked for; what came back; answers that nobody waited for."""
PAGES, SILENT, FORGED = 8, 6, 0x6666_6666
LATE_AFTER = 80_000
"""Ticks after which it sends what it was not asked for, or not any more."""


class ObjectPager(ExternalPager):
    """The pager."""

    def __init__(self, pd: PD) -> None:
        super().__init__()
        self.pd = pd
        self.silent_since = 0

    async def page_in(self, object: int, page: int) -> bytes | None:
        """From the store."""
        return await self.pd.read(store + page * PAGE, PAGE)

    async def page_out(self, object: int, page: int, content: bytes) -> None:
        """Into the store."""
        await self.pd.store(report + RETURNS, await self.pd.load(report + RETURNS) + 1)
        await self.pd.write(store + page * PAGE, content)

    async def answer(self, request: PageMessage, content: bytes | None) -> None:
        """Answer, but for one page. Some time later that page is sent, and others that nobody asked for."""
        await self.pd.store(report + REQUESTS, await self.pd.load(report + REQUESTS) + 1)
        if request.page == SILENT:
            self.silent_since = await self.pd.clock()
            return
        await super().answer(request, content)
        if self.silent_since and await self.pd.clock() - self.silent_since > LATE_AFTER:
            self.silent_since = 0
            forged = FORGED.to_bytes(8, "little") * (PAGE // 8)
            for object, page in ((request.object, SILENT), (request.object, request.page), (request.object + 1, 0)):
                self.controls.setdefault(object, self.controls[request.object])
                await super().answer(PageMessage(object, page), forged)
                await self.pd.store(report + LATE, await self.pd.load(report + LATE) + 1)


async def init(pd: PD) -> None:
    """Fill the pages, and serve."""
    for page in range(PAGES):
        await pd.store(store + page * PAGE, 1000 + page)
    task = task_of(connection_of(pd, SharedRegion(shared, shared_size)))
    port: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in(KEY, await port.make_send())
    await ObjectPager(pd).serve(task, port)
