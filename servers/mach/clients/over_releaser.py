"""Scenario MA-N, the attacker: gives up every right too often, by every operation that there is.

It has a send right to the server's port, and ports, port sets and send-once rights of its own. It tries all names; all
ways in which a right can go along with a message, twice and three times in one; all caps that it has, dropped, derived
and revoked again and again; and any request of any interface with its caps and small numbers in it.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import product
from typing import Any

from capkernel.protocols.failures import Failure
from capkernel.protocols.interface import DERIVE, DROP, REVOKE
from capkernel.protocols.mach_msg import Part, make_send_once, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT, FOREVER, Disposition
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.mach.clients.careless import BAD, OVER
from servers.mach.tasks import connection_of, task_of

report: int = 0

TRIES, REFUSED = 0, 8
"""Offsets."""
NAMES = 24
OPERATIONS = (*range(1, 17), DERIVE, REVOKE, DROP)
INTERFACES = range(80, 87)
WORDS = ((), (64, 0), (1, 0, 0, 0, 0))
"""Numbers in requests; the second is a time-out where there is one, and then says not to wait."""
LOOK_UP = 85 << 8 | 9
"""The label of the only request that waits for something whatever these numbers say."""


class Attack:
    """Tries, counted."""

    def __init__(self, pd: PD, task: Any, service: Any) -> None:
        self.pd = pd
        self.task = task
        self.service = service
        self.tries = self.refused = 0

    async def attempt(self, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> None:
        """One try."""
        self.tries += 1
        try:
            await call(*args, **kwargs)
        except Failure:
            self.refused += 1

    async def fresh(self) -> list[Any]:
        """Rights to misuse: to the server's port; to one of its own, to send, to send once, and to receive."""
        port = await self.task.allocate(DEFAULT_LIMIT)
        return [await self.service.copy(), await port.make_send(), await port.make_send_once(), port]

    async def by_name(self) -> None:
        """All names, again and again."""
        for name in (*range(NAMES), *range(NAMES)):
            if name != self.kept:
                await self.attempt(self.task.deallocate, name)

    @property
    def kept(self) -> int:
        """The name of the right to the server's port, which is the first that it had."""
        return 1

    async def by_message(self) -> None:
        """Each right along with a message, up to three times, moved, copied and made; and then once more."""
        for disposition, times, index in product(Disposition, (1, 2, 3), range(4)):
            sink = await self.task.allocate(DEFAULT_LIMIT)
            way = await sink.make_send()
            rights = await self.fresh()
            again = await rights[index].derive()
            parts = [Part(disposition, again)] * times
            for _ in range(2):
                await self.attempt(send, way, 1, rights=parts, timeout_us=0)
            await self.attempt(again.drop)
            await self.drop_all([sink, way, *rights])

    async def by_cap(self) -> None:
        """Each cap dropped twice, and what was derived from it; revoked in between."""
        for index in range(4):
            rights = await self.fresh()
            other = await rights[index].derive()
            one = rights[index]
            for call in (other.drop, other.drop, one.revoke, one.drop, one.drop, other.drop):
                await self.attempt(call)
            await self.drop_all([other, *rights])

    async def by_request(self) -> None:
        """Any request of any interface through any cap, and once more."""
        for interface, operation in product(INTERFACES, OPERATIONS):
            label = interface << 8 | operation
            if label == LOOK_UP:
                continue
            rights = await self.fresh()
            for right, words, times in product(rights, WORDS, (0, 3)):
                self.tries += 1
                answer = await self.pd.sys.call(right.cap, Message(label, words, (right.cap,) * times))
                self.refused += bool(answer.label)
                await right.connection.inbox.refuse(answer)
            await self.drop_all(rights)

    async def drop_all(self, rights: Iterable[Any]) -> None:
        """Tidy up, in case something is left."""
        for right in rights:
            with suppress(Failure):
                await right.drop()
            await right.forget()


async def init(pd: PD) -> None:
    """Attack; begin anew; make the server's mistake happen."""
    connection = connection_of(pd)
    task = task_of(connection)
    service: Any = await task.look_up("service", FOREVER)
    await task.look_up("go", FOREVER)
    attack = Attack(pd, task, service)
    for part in (attack.by_name, attack.by_message, attack.by_cap, attack.by_request):
        await part()
        await pd.store(report + TRIES, attack.tries)
        await pd.store(report + REFUSED, attack.refused)
    await send(service, OVER)
    await attack.attempt(task.terminate)
    await attack.attempt(service.drop)
    service = await task_of(connection).look_up("service", FOREVER)
    own: Any = await task.allocate(DEFAULT_LIMIT)
    await send(service, BAD, reply=make_send_once(own))
    await task.check_in("bad was sent", await own.make_send())


async def notified(pd: PD, ch: int) -> None:
    """It has asked for signals, too."""
