"""Has one process after the other made, more of them than a session of the factory server's has objects."""

from typing import Any

from capkernel.user.loop import PD
from policies.clients import requester
from policies.factory import OBJECTS

report: int = 0


class Program(requester.Program):
    async def init(self, pd: PD) -> None:
        requester.report = report
        await super().init(pd)

    async def _used(self, factory: Any, secret: Any) -> Any:
        for _ in range(OBJECTS):
            await super()._used(factory, secret)
        return await super()._used(factory, secret)
