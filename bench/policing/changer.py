"""Changes the rules when it is told to: kind ones and harsh ones in turn."""

from typing import Any

from bench.policing.policing import ANSWERED, ASKED, CHANGES, ENTRIES, HARSH_RULES, KIND_RULES, WANTED
from capkernel.protocols.brokering import PolicyControl
from capkernel.protocols.client import Connection, connect
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from policies.clients.subject import BROKER, Subject

report: int = 0
region: int = 0
region_size: int = 0x1000


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """For ever."""
        me = Subject(pd, report)
        connection = Connection(pd.sys, me.connection.inbox, SharedRegion(region, region_size))
        control: Any = connect(PolicyControl, connection, BASE_ENDPOINT_CAP + BROKER)
        done = 0
        while True:
            if await pd.load(report + 8 * WANTED) > done:
                rules = HARSH_RULES if done % 2 else KIND_RULES
                asked = await pd.clock()
                ended = await control.change(rules)
                answered = await pd.clock()
                done += 1
                for word, value in ((ASKED, asked), (ANSWERED, answered), (ENTRIES, ended), (CHANGES, done)):
                    await pd.store(report + 8 * word, value)
            await me.ask(lambda: me.timer.sleep(1_000))
