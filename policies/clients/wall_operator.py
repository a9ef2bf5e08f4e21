"""Answers for the rules of the policy server, and changes them once; reports how long that took."""

from typing import Any

from capkernel.protocols.brokering import PolicyControl, PolicyRules
from capkernel.protocols.client import connect
from capkernel.protocols.failures import Malformed
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from policies.clients.subject import Subject

report: int = 0
region: int = 0

DONE, ASKED, ANSWERED, REFUSED, MALFORMED, LEFT = range(6)
"""Words of the report: the end; when the change was asked for and answered; how many grants it refused; whether rules
that cannot be were refused; how many grants there were in the end.
"""
RULES = 3
"""The channel to the policy server."""
AFTER_US, SETTLE_US = 40_000, 2_000


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Nobody may have anything any more."""
        me, words = Subject(pd, report), [0] * 6
        control: Any = connect(PolicyControl, me.connection, BASE_ENDPOINT_CAP)
        rules: Any = connect(PolicyRules, me.connection, BASE_ENDPOINT_CAP + RULES)
        await me.ask(lambda: me.timer.sleep(AFTER_US))
        try:
            await me.ask(lambda: rules.change("[[policy]]\nkind = 'no such kind'"))
        except Malformed:
            words[MALFORMED] = 1
        words[ASKED] = await me.now_us()
        words[REFUSED] = await me.ask(lambda: rules.change(""))
        words[ANSWERED] = await me.now_us()
        await me.ask(lambda: me.timer.sleep(SETTLE_US))
        words[LEFT] = len(await me.ask(lambda: control.grants(0)))
        words[DONE] = 1
        await me.tell(*words)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
