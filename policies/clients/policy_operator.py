"""Answers for the policy: after a while bob is no member of the staff any more."""

from typing import Any

from capkernel.protocols.brokering import PolicyControl
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Malformed
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from policies.clients.subject import BROKER, Subject

report: int = 0
region: int = 0
region_size: int = 0x1000

DONE, ASKED, ANSWERED, ENDED, MALFORMED = range(5)
"""Words of the report: the end; when the change was asked for and answered; how many grants ended; whether rules that
cannot be were refused.
"""
WHEN_US = 12_000
"""After it was started."""
RULES = """
[[policy]]
kind = "secrecy"
levels = ["public", "secret"]
subjects = { alice = "secret", bob = "public", mallory = "public" }
services = { plans = "secret", bulletin = "public", payroll = "secret" }
[[policy]]
kind = "domain and type"
domains = { alice = "staff", mallory = "visitors" }
types = { plans = "work", bulletin = "news", payroll = "money" }
[policy.rights]
staff = { work = ["read", "write"], news = ["read", "write"] }
visitors = { news = ["read"] }
[[policy]]
kind = "lease"
longest_us = { "*" = 50_000 }
[[policy]]
kind = "depth"
most = { "*" = 1 }
"""


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Wait until bob has something; then change the rules."""
        me, words = Subject(pd, report), [0] * 5
        connection = Connection(pd.sys, me.connection.inbox, SharedRegion(region, region_size))
        control: Any = connect(PolicyControl, connection, BASE_ENDPOINT_CAP + BROKER)
        while "bob" not in [grant.subject for grant in await me.ask(lambda: control.grants(0))]:
            await me.ask(lambda: me.timer.sleep(500))
        await me.ask(lambda: me.timer.sleep(WHEN_US))
        try:
            await me.ask(lambda: control.change("[[policy]]\nkind = 'no such kind'"))
        except Malformed:
            words[MALFORMED] = 1
        words[ASKED] = await me.now_us()
        words[ENDED] = await me.ask(lambda: control.change(RULES))
        words[ANSWERED] = await me.now_us()
        words[DONE] = 1
        await me.tell(*words)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
