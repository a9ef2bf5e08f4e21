"""Reads one company's archive by its path for as long as the broker lets it, and asks for the competitor's, too."""

from contextlib import suppress
from typing import Any, Final

from capkernel.protocols.brokering import READ, GrantInfo
from capkernel.protocols.client import connect
from capkernel.protocols.composition import PathDirectory
from capkernel.protocols.failures import Failure, Gone, NotFound, NotPermitted, ServerDied
from capkernel.protocols.qnx_paths import MAX_DATA, Access, OpenResource, PathManager, Resource
from capkernel.user.loop import PD
from policies.clients.subject import Subject

PATHS: Final = 310
"""The cap to the path manager."""
DONE, RED, BLUE, REFUSED, CROSSED, USED, KEPT, LATE = range(8)
"""Words of the report: the end; lines of each company that it has read; refusals of the competitor's archive; sessions
that a grant opened behind the other's path; sessions that it had kept and used when the lease was over, and how many of
them worked; by how many µs the last reading was begun after the end of its lease, at most.
"""
LEASE_US, PAUSE_US, ASKS, LEASES = 25_000, 25_000, 2, 8
"""µs of a lease, and between requests; how often it asks for the other's, and at most for its own to read anything."""
READINGS: Final = (8, 1000)
"""In one session, at most, under the first lease and under the second: it goes on as long as it can."""
PAUSE, SETTLED = 5_000, 200_000
"""Ticks between readings; from the end of a lease until it tries what it has kept."""
NAMES: Final = ("red", "blue")


class PathReader:
    """The client: ``own`` is the company whose archive it reads, ``other`` the one for which it asks then."""

    report: int = 0

    own, other = NAMES

    async def init(self, pd: PD) -> None:
        """Read under one lease after the other."""
        self.me = Subject(pd, self.report)
        self.paths: Any = connect(PathManager, self.me.connection, PATHS)
        self.words = [0] * 8
        for readings in READINGS:
            await self._read_something(readings)
            await self._ask_for_other()
        self.words[DONE] = 1
        await self.me.tell(*self.words)

    async def _read_something(self, readings: int) -> None:
        """Under a lease; under another one if those whom it takes were being started anew all the while."""
        lines = RED + NAMES.index(self.own)
        before = self.words[lines]
        for _ in range(LEASES):
            await self._read(await self._granted(), readings)
            if self.words[lines] > before:
                return

    async def _granted(self) -> GrantInfo:
        """A lease, however long it takes: whoever judges it may be dead just now."""
        while True:
            try:
                return await self.me.obtain(self.own, READ, "to read it", LEASE_US)
            except Failure:
                await self._pause()

    async def _ask_for_other(self) -> None:
        """What it gets it reads, and tells."""
        for _ in range(ASKS):
            try:
                info = await self.me.obtain(self.other, READ, "to compare", LEASE_US)
            except NotPermitted:
                self.words[REFUSED] += 1
            except Failure:
                continue
            else:
                await self._read(info, READINGS[0])
                return
            finally:
                await self._pause()

    async def _pause(self) -> None:
        with suppress(Failure):
            await self.me.timer.sleep(PAUSE_US)

    async def _read(self, info: GrantInfo, readings: int) -> None:
        """Read until the lease is over; what it has kept by then must work no more."""
        kept: Any = None
        while (room := await self._directory(info)) is not None:
            try:
                session = await self._open(room, info.service)
                if kept is not None:
                    await _closed(kept)
                kept = session
                await self._cross(room)
                await self._go_on(session, info.until_us, readings)
            except Failure:
                # It, or the path manager, is being started anew; or the lease has just ended.
                pass
            finally:
                await room.forget()
            await self.me.pd.compute(PAUSE)
        if kept is not None:
            await self._use(kept)

    async def _directory(self, info: GrantInfo) -> Any:
        """The archive; None when the lease is over."""
        while True:
            try:
                cap = await self.me.through(info.number, lambda grant: grant.access())
            except NotFound:
                return None
            except Failure:
                continue
            return connect(PathDirectory, self.me.connection, cap, is_owned=True)

    async def _go_on(self, session: OpenResource, until_us: int, readings: int) -> None:
        """Read again and again, without asking the broker whether it still may."""
        for _ in range(readings):
            began = await self.me.now_us()
            await session.seek(0)
            line = await session.read(MAX_DATA)
            for name, word in zip(NAMES, (RED, BLUE), strict=True):
                self.words[word] += line.startswith(name.encode())
            self.words[LATE] = max(self.words[LATE], began - until_us)
            await self.me.pd.compute(PAUSE)

    async def _open(self, room: Any, service: str) -> Any:
        """A session with the first line. Raises failures."""
        rest, place = await self._find(f"/srv/{service}/1")
        try:
            return await room.open_path(place, rest, Access.READ)
        finally:
            await place.forget()

    async def _find(self, path: str) -> tuple[str, Any]:
        """What is left of the path, and what it leads to. Raises NotFound."""
        for candidate in await self.paths.candidates(path):
            cap = await self.paths.resource(candidate.number)
            place: Any = connect(Resource, self.me.connection, cap, is_owned=True)
            return candidate.rest, place
        raise NotFound(f"nobody serves {path}")

    async def _cross(self, room: Any) -> None:
        """Show the competitor's place to the own grant."""
        rest, place = await self._find(f"/srv/{self.other}/1")
        try:
            await _closed(await room.open_path(place, rest, Access.READ))
            self.words[CROSSED] += 1
        except NotPermitted:
            pass
        finally:
            await place.forget()

    async def _use(self, kept: Any) -> None:
        """Try the last session, when it is over."""
        await self.me.pd.compute(SETTLED)
        self.words[USED] += 1
        with suppress(Gone, ServerDied):
            await kept.seek(0)
            self.words[KEPT] += 1
        await kept.forget()

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""


class Program(PathReader):
    """Who reads the red one's."""


async def _closed(session: Any) -> None:
    """Give up a session, whether or not its server hears of it."""
    try:
        await session.drop()
    except Failure:
        await session.forget()
