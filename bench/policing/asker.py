"""Asks the broker what it would say, again and again; then holds as many grants as it is told to."""

from typing import Any

from bench.policing.policing import GO, HOLDS, MARK, ROUNDS
from capkernel.protocols.brokering import READ
from capkernel.protocols.failures import NotPermitted, QuotaExceeded
from capkernel.user.loop import PD
from policies.clients.subject import Subject

report: int = 0
PAUSE_US = 60_000
"""Until the broker lets one ask again, which is twenty times a second."""


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """For ever."""
        me = Subject(pd, report)
        # The first answer is waited for: the broker may still be starting.
        await me.ask(lambda: me.broker.explain("plans", READ, "", 0))
        await pd.store(report + 8 * MARK, 1)
        for _ in range(ROUNDS):
            await me.broker.explain("plans", READ, "", 0)
        await pd.store(report + 8 * MARK, 2)
        grants: list[Any] = []
        while True:
            wanted = await pd.load(report + 8 * GO)
            while len(grants) < wanted:
                try:
                    grants.append(await me.ask(lambda: me.broker.request("plans", READ, "", 0)))
                except (QuotaExceeded, NotPermitted):
                    await me.ask(lambda: me.timer.sleep(PAUSE_US))
            if not wanted:
                for grant in grants:
                    await grant.forget()
                grants.clear()
            await pd.store(report + 8 * HOLDS, len(grants))
            await me.ask(lambda: me.timer.sleep(1_000))
