"""Would keep another from what he works with: gives him what he did not ask for, so that it counts against him."""

from contextlib import suppress

from capkernel.protocols.brokering import READ
from capkernel.protocols.failures import Failure, NotPermitted
from capkernel.user.loop import PD
from policies.clients.subject import Subject

report: int = 0
DONE, OFFERED = range(2)
"""Words of the report: the end, and how often the broker took an offer."""
VICTIM, POISON = "bob", "plans"
TIMES, LEASE_US, PAUSE_US = 3, 90_000, 2_000


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Get the data of one company, and hand them on to somebody who works for the other."""
        me = Subject(pd, report)
        number = 0
        while not number:
            try:
                number = (await me.obtain(POISON, READ, "my work", LEASE_US)).number
            except NotPermitted:
                await me.ask(lambda: me.timer.sleep(PAUSE_US))
        offered = 0
        for _ in range(TIMES):
            with suppress(Failure):
                await me.through(number, lambda grant: grant.delegate(VICTIM, READ, "a present", LEASE_US // 2))
                offered += 1
        await me.tell(1, offered)
