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
LEASE_US, PAUSE_US, LEASES, ASKS, SETTLED_US = 25_000, 25_000, 2, 2, 20_000
PAUSE: Final = 5_000
"""Ticks between readings."""
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
        for _ in range(LEASES):
            await self._read(await self._granted())
            await self._ask_for_other()
        self.words[DONE] = 1
        await self.me.tell(*self.words)

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
                await self._read(info)
                return
            finally:
                await self._pause()

    async def _pause(self) -> None:
        with suppress(Failure):
            await self.me.timer.sleep(PAUSE_US)

    async def _read(self, info: GrantInfo) -> None:
        """Read until the lease is over; what it has kept by then must work no more."""
        kept: list[Any] = []
        while True:
            began = await self.me.now_us()
            try:
                cap = await self.me.through(info.number, lambda grant: grant.access())
            except NotFound:
                break
            except Failure:
                continue
            room: Any = connect(PathDirectory, self.me.connection, cap, is_owned=True)
            try:
                session = await self._open(room, info.service)
                await self._note(session, began - info.until_us)
                kept = [*kept[-1:], session] if len(kept) < 2 else kept
                if session not in kept:
                    await _closed(session)
                await self._cross(room)
            except Failure:
                # It, or the path manager, is being started anew; or the lease has just ended.
                pass
            finally:
                await room.forget()
            await self.me.pd.compute(PAUSE)
        if await self.me.now_us() > info.until_us:
            await self._use(kept)

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

    async def _note(self, session: OpenResource, late_us: int) -> None:
        line = await session.read(MAX_DATA)
        for name, word in zip(NAMES, (RED, BLUE), strict=True):
            self.words[word] += line.startswith(name.encode())
        self.words[LATE] = max(self.words[LATE], late_us)

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

    async def _use(self, kept: list[Any]) -> None:
        """Try what was kept, until a server says that it is over, or it works when it must not."""
        await self.me.pd.compute(10 * SETTLED_US)
        for session in kept:
            self.words[USED] += 1
            try:
                await session.seek(0)
                self.words[KEPT] += 1
            except (Gone, ServerDied):
                pass
            await session.forget()

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
