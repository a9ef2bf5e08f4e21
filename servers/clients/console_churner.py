"""Uses every server of the console system for ever; checks that times go on and that what was acknowledged lasts."""

from contextlib import suppress
from typing import Any

from capkernel.protocols.audit import Audit, AuditReader
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import Console
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import NotFound, QuotaExceeded
from capkernel.protocols.interface import Cap
from capkernel.protocols.log import Level, Log, LogReader
from capkernel.protocols.names import NameSpace
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.clients.churning import Churning
from servers.clients.resident import (
    AUDIT,
    AUDIT_READER,
    CLOCK,
    CONSOLE,
    END_SLOT,
    ENTROPY,
    FIRST_SLOT,
    LOG,
    LOG_READER,
    NAMES,
    OWN_CNODE,
    TIMER,
)

region: int = 0
region_size: int = 0x1_0000
report: int = 0

RANDOM = 256
"""Bytes."""
SEALED = 4
"""Every so many rounds something goes into the audit trail."""


class Program(Churning):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks = self.seconds = self.sealed = 0
        self.random = b""
        self.connection: Any = None

    async def init(self, pd: PD) -> None:
        """For ever: one server after the other."""
        self.connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        works = (self._time, self._clock, self._random, self._log, self._audit, self._names, self._say)
        await self.forever(pd, report, *works)

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody has anything to say."""

    def _server(self, interface: Any, channel: int) -> Any:
        return connect(interface, self.connection, BASE_ENDPOINT_CAP + channel)

    async def _time(self) -> None:
        now = await self._server(Timer, TIMER).now()
        self.lost += now < self.ticks
        self.ticks = now

    async def _clock(self) -> None:
        now = await self._server(RealTimeClock, CLOCK).now()
        self.lost += now < self.seconds
        self.seconds = now

    async def _random(self) -> None:
        found = await self._server(Entropy, ENTROPY).read(RANDOM)
        self.lost += len(found) != RANDOM or found == self.random
        self.random = found

    async def _log(self) -> None:
        text = f"round {self.rounds}"
        try:
            number = await self._server(Log, LOG).append(Level.INFO, text)
        except QuotaExceeded:
            return
        entries = await self._server(LogReader, LOG_READER).tail(2)
        # What is read is in the server's memory: a life that has just begun remembers nothing. It may add lines itself.
        mine = [entry.text for entry in entries if entry.author != "log"]
        self.lost += number < 1 or mine[-1:] not in ([], [text])

    async def _audit(self) -> None:
        if self.rounds % SEALED:
            return
        try:
            number = await self._server(Audit, AUDIT).record([f"round {self.rounds}"])
        except QuotaExceeded:
            return
        info = await self._server(AuditReader, AUDIT_READER).info()
        self.lost += number <= self.sealed or info.number < number
        self.sealed = number

    async def _names(self) -> None:
        """A cap goes in under a name, and another to the same object comes out."""
        mine: Any = connect(NameSpace, self.connection, NAMES)
        with suppress(NotFound):
            await mine.unbind("log")
        await mine.bind("log", Cap(BASE_ENDPOINT_CAP + LOG_READER))
        reader: Any = connect(LogReader, self.connection, await mine.lookup("log"), is_owned=True)
        try:
            await reader.tail(1)
        finally:
            await reader.forget()

    async def _say(self) -> None:
        await self._server(Console, CONSOLE).write(f"round {self.rounds}")
