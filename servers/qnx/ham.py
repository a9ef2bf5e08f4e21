"""The high-availability manager: watches entities, and recovers them in stages (``ham_table`` decides, this does it).

Its table is in memory that outlives it, written after every step; its rules are in the description. A guardian
(``servers.system.guardian``, the supervisor's) watches over it, and when it dies starts it anew: it goes on in the
stage in which it was. A step that was done and not yet written down is done again; each may be.

QNX's guardian is a second copy of the manager that becomes the manager, and makes itself a guardian. Here the guardian
stays one, and the manager comes back: what a manager *is* to others, its channels and caps, are in the description.
"""

from typing import Any, Final

from capkernel.user import lifecycle
from capkernel.user.kept import KeptValue
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.qnx.ham_table import Action, Deed, Entity, HamTable, Heartbeats, Recovery, Rules, When, read_rules

METRONOME, GUARDIAN = 0, 1
"""Channels; those of the entities say the rules."""
KEPT_BYTES: Final = 0x4000


class Manager:
    """The table, and how its stages are carried out."""

    def __init__(self, pd: PD, rules: Rules, kept: KeptValue[HamTable], table: HamTable) -> None:
        self.pd = pd
        self.rules = rules
        self.kept = kept
        self.table = table
        self.heartbeats = Heartbeats()

    def entity(self, name: str) -> Entity:
        """The entity of a name."""
        return next(entity for entity in self.rules.entities if entity.name == name)

    async def failed(self, entity: Entity, when: When) -> None:
        """A condition came true: nobody waits for the entity any longer, and its recovery begins."""
        if self.table.failed(entity.name, when):
            await self.kept.save(self.table)
        await self.go_on()

    async def go_on(self) -> None:
        """Carry out the stages that are due."""
        while (found := self.table.next_action(self.rules)) is not None:
            recovery, action = found
            try:
                await self._do(recovery, action)
                self.table.done(recovery, action)
            except lifecycle.LifecycleError:
                self.table.put_off(recovery)
            await self.kept.save(self.table)

    async def beat(self) -> None:
        """Ask for signs of life; who gave none for too long has failed."""
        self.table.beat += 1
        for entity in self.heartbeats.pass_beat(self.rules, self.table):
            await self.failed(entity, When.HEARTBEAT_MISSED)
        await self.go_on()
        for entity in self.rules.entities:
            if entity.patience:
                await self.pd.notify(entity.channel)
        await self.kept.save(self.table)

    async def _do(self, recovery: Recovery, action: Action) -> None:
        entity = self.entity(recovery.entity)
        if recovery.stage == 0:
            await lifecycle.destroy(self.pd.sys, entity.lifecycle)
        match action.deed:
            case Deed.RESTART:
                await lifecycle.rebuild(self.pd.sys, entity.lifecycle, action.number)
                await lifecycle.start(self.pd.sys, entity.lifecycle)
            case Deed.NOTIFY:
                await self.pd.notify(action.number)
            case Deed.STOP | Deed.WAIT:
                pass


class Program:
    """The manager's hooks."""

    rules: int = 0
    rules_size: int = 0x1000
    table: int = 0
    report: int = 0

    def __init__(self) -> None:
        self.manager: Any = None

    async def init(self, pd: PD) -> None:
        """Go on from what the manager before knew."""
        text = (await pd.read(self.rules, self.rules_size)).rstrip(b"\0").decode()
        kept = KeptValue(HamTable, SharedRegion(self.table, KEPT_BYTES))
        known = await kept.load()
        if known is not None:
            known.takeovers += 1
        self.manager = Manager(pd, read_rules(text), kept, known or HamTable())
        await self.manager.go_on()
        await self._report(pd)

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat; the guardian asks for our own life; an entity gives a sign of life."""
        if ch == METRONOME:
            await self.manager.beat()
        elif ch == GUARDIAN:
            await pd.notify(GUARDIAN)
        else:
            for entity in self.manager.rules.entities:
                if entity.channel == ch:
                    self.manager.heartbeats.lives(entity.name)
        await self._report(pd)

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """An entity came to grief; it never goes on where it was."""
        for entity in self.manager.rules.entities:
            if entity.child == child:
                await self.manager.failed(entity, When.DEATH)
        await self._report(pd)
        return False

    async def _report(self, pd: PD) -> None:
        """For whoever looks on: failures that were seen, and how often a manager was followed by another."""
        if self.report:
            await pd.store(self.report, self.manager.table.deaths)
            await pd.store(self.report + 8, self.manager.table.takeovers)
