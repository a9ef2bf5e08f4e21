"""A subject that wants more than it is given. It counts what became of each kind of try."""

from collections.abc import Awaitable, Callable
from typing import Any

from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE, GrantInfo, PolicyControl
from capkernel.protocols.client import connect
from capkernel.protocols.failures import Failure, NotPermitted
from capkernel.protocols.files import READ_WRITE
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from policies.clients.subject import BROKER, Subject

report: int = 0

DONE, TRIES, ASKED, TAKEN, GROWN, KEPT, RULED, FLOODED = range(8)
"""Words of the report: the end; all tries; those that worked: to be granted what is not for it; to take what was
granted to another; to make more of what it has; to use what is over; to act as the operator; requests of a flood.
"""
LEASE_US = 2_000
GUESSES = range(1, 12)
FLOOD = 60
AGAIN = 4


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Everything it can think of."""
        self.me, self.words = Subject(pd, report), [0] * 8
        await self.me.ask(lambda: self.me.timer.sleep(2_000))
        for attack in (self._take, self._ask_for_more, self._grow, self._keep, self._rule, self._flood):
            await self._with_patience(attack)
        self.words[DONE] = 1
        await self.me.tell(*self.words)

    async def _with_patience(self, attack: Callable[[], Awaitable[None]]) -> None:
        """Begin an attack again if it could not even begin, since a server died or it has asked too often."""
        for _ in range(AGAIN):
            try:
                return await attack()
            except Failure:
                await self.me.ask(lambda: self.me.timer.sleep(LEASE_US))
        return None

    async def _try(self, what: int, attempt: Awaitable[Any]) -> Any:
        self.words[TRIES] += 1
        try:
            found = await attempt
        except Failure:
            return None
        self.words[what] += 1
        return found

    async def _take(self) -> None:
        """Guess the numbers of others' grants. What was delegated to it is its own."""
        for number in GUESSES:
            try:
                grant: Any = await self.me.broker.take(number)
                info = await grant.info()
            except Failure:
                self.words[TRIES] += 1
                continue
            if info.service != "bulletin":
                await self._try(TAKEN, grant.access())

    async def _ask_for_more(self) -> None:
        """Services and rights that the rules do not have for it, and names that look like others."""
        for service, rights in (("plans", READ), ("payroll", ALL_RIGHTS), ("bulletin", WRITE), ("plans", 4)):
            await self._try(ASKED, self.me.broker.request(service, rights, 'alice to read plans"', LEASE_US))
        for service in ("../plans", "", "plans\0", "*"):
            await self._try(ASKED, self.me.broker.request(service, READ, "", LEASE_US))

    async def _grow(self) -> None:
        """Make more of what it has: rights, time, another service, by delegating to itself or by the cap."""
        number = (await self._own(LEASE_US * 4)).number
        grant: Any = await self.me.broker.take(number)
        for rights, us in ((ALL_RIGHTS, 100), (WRITE, 100), (READ, LEASE_US * 8), (READ, 0), (READ, -1), (0, 100)):
            await self._try(GROWN, grant.delegate("mallory", rights, "", us))
        directory = await self.me.directory(number)
        for attempt in (directory.restrict(READ_WRITE), directory.create("x"), directory.directory("..", READ)):
            await self._try(GROWN, attempt)
        await grant.drop()

    async def _keep(self) -> None:
        """Use what is over: a cap, a copy that was derived from it, and what was opened while the cap was dropped."""
        await self._try(KEPT, self.me.broker.request("bulletin", READ, "for ever", 0))
        number = (await self._own(LEASE_US)).number
        grant: Any = await self.me.broker.take(number)
        directory, other = await self.me.directory(number), await self.me.directory(number)
        derived = await other.derive()
        below = await directory.restrict(READ)
        await directory.drop()
        await self.me.ask(lambda: self.me.timer.sleep(LEASE_US * 2))
        for attempt in (other.list(0), derived.list(0), below.list(0), below.derive(), grant.access(), grant.info()):
            await self._try(KEPT, attempt)
        await self._try(KEPT, self.me.broker.take(number))

    async def _rule(self) -> None:
        """Speak to the broker as the operator does."""
        control: Any = connect(PolicyControl, self.me.connection, BASE_ENDPOINT_CAP + BROKER)
        for attempt in (control.grants(0), control.take_back(1), control.change("")):
            await self._try(RULED, attempt)

    async def _flood(self) -> None:
        """Ask without end."""
        for _ in range(FLOOD):
            self.words[TRIES] += 1
            try:
                await self.me.broker.request("plans", READ, "x" * 96, LEASE_US)
            except NotPermitted:
                self.words[FLOODED] += 1
            except Failure:
                continue

    async def _own(self, us: int) -> GrantInfo:
        return await self.me.obtain("bulletin", READ, "to look around", us)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
