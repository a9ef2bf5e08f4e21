"""Has no business with the plans, and says so by asking; posts notices until the rules are changed."""

from typing import Any

from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE
from capkernel.protocols.failures import Gone, NotFound, NotPermitted, ServerDied
from capkernel.user.loop import PD
from policies.clients.subject import Subject

report: int = 0

LEASE_US = 50_000
DONE, REFUSED, REASONS, LAST, READINGS, AGAIN = range(6)
"""Words of the report: the end; whether the plans were refused; how many reasons were given; when the last look at the
bulletin that worked was begun; how many there were; whether the bulletin was refused afterwards.
"""
PAUSE = 1_000


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Be refused, be served, be served no more."""
        me, words = Subject(pd, report), [0] * 6
        try:
            await me.ask(lambda: me.broker.request("plans", READ, "curiosity", 1_000))
        except NotPermitted:
            words[REFUSED] = 1
        words[REASONS] = len((await me.ask(lambda: me.broker.explain("plans", READ, "curiosity", 1_000))).reasons)
        number = (await me.obtain("bulletin", ALL_RIGHTS, "notices", LEASE_US)).number
        directory: Any = None
        while True:
            began = await me.now_us()
            try:
                directory = directory or await me.directory(number)
                await directory.list(0)
            except (Gone, ServerDied):
                directory = None
                continue
            except NotFound:
                break
            words[LAST] = began
            words[READINGS] += 1
            await pd.compute(PAUSE)
        try:
            await me.ask(lambda: me.broker.request("bulletin", WRITE, "once more", 1_000))
        except NotPermitted:
            words[AGAIN] = 1
        words[DONE] = 1
        await me.tell(*words)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
