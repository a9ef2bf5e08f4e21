"""The default pager: keeps pages that their own pagers did not take, in memory of its own."""

from typing import Any

from capkernel.protocols.mach_memory import DEFAULT_PAGER, PAGE
from capkernel.protocols.mach_ports import DEFAULT_LIMIT
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.mach.external_pager import ExternalPager
from servers.mach.tasks import connection_of, task_of

shared: int = 0
shared_size: int = 0x2000
store: int = 0
store_size: int = 0x8000


class DefaultPager(ExternalPager):
    """Pages by object and number, each in a place of the store. What finds no place any more is lost."""

    def __init__(self, pd: PD) -> None:
        super().__init__()
        self.pd = pd
        self.places: dict[tuple[int, int], int] = {}

    async def page_in(self, object: int, page: int) -> bytes | None:
        """What was kept, or zeros."""
        place = self.places.get((object, page))
        return None if place is None else await self.pd.read(place, PAGE)

    async def page_out(self, object: int, page: int, content: bytes) -> None:
        """Keep it."""
        if (object, page) not in self.places and len(self.places) == store_size // PAGE:
            return
        place = self.places.setdefault((object, page), store + len(self.places) * PAGE)
        await self.pd.write(place, content)


async def init(pd: PD) -> None:
    """Serve."""
    task = task_of(connection_of(pd, SharedRegion(shared, shared_size)))
    port: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in(DEFAULT_PAGER, await port.make_send())
    await DefaultPager(pd).serve(task, port)
