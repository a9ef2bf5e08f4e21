"""Knows all path names and has no grant: an attacker who tries what the path manager gives him for more than a name."""

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final

from capkernel.protocols.brokering import READ
from capkernel.protocols.client import connect
from capkernel.protocols.composition import PathDirectory
from capkernel.protocols.failures import Failure, ServerDied
from capkernel.protocols.interface import Cap
from capkernel.protocols.qnx_paths import MAX_DATA, Access, PathManager, Place, Resource
from capkernel.user.loop import PD
from policies.clients.subject import Subject

report: int = 0

PATHS, OWN_CNODE = 310, 301
DONE, TRIES, PLACES, GRANTED, READ_LINES, ATTACHED = range(6)
"""Words of the report: the end; all tries; caps that it was given for a path; and what worked: to be granted an
archive, to read a line, to attach to a path of others.
"""
ROUNDS, PAUSE_US = 3, 20_000
NUMBERS: Final = range(1, 8)


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Everything it can think of, several times: somebody may be dead just then."""
        self.me, self.words = Subject(pd, report), [0] * 6
        self.paths: Any = connect(PathManager, self.me.connection, PATHS)
        for _ in range(ROUNDS):
            for name in ("red", "blue"):
                await self._try(GRANTED, self.me.broker.request(name, READ, "to look", PAUSE_US))
                await self._try(ATTACHED, self.paths.attach(f"/srv/{name}", Cap(PATHS), Place.BEFORE, True, True))
                await self._by_path(f"/srv/{name}/1")
            for number in NUMBERS:
                await self._by_number(number, "1")
            with suppress(Failure):
                await self.me.timer.sleep(PAUSE_US)
        self.words[DONE] = 1
        await self.me.tell(*self.words)

    async def _by_path(self, path: str) -> None:
        with suppress(Failure):
            for candidate in await self.paths.candidates(path):
                await self._by_number(candidate.number, candidate.rest)

    async def _by_number(self, number: int, rest: str) -> None:
        """Open what is attached as if a path were enough; then as if it were the directory itself."""
        try:
            cap = await self.paths.resource(number)
        except Failure:
            return
        self.words[PLACES] += 1
        place: Any = connect(Resource, self.me.connection, cap, is_owned=True)
        room: Any = connect(PathDirectory, self.me.connection, cap)
        for access in Access:
            await self._read(place.open(rest, access))
        await self._read(room.open_path(place, rest, Access.READ))
        await self._try(READ_LINES, room.open(rest, READ))
        await self._try(READ_LINES, room.list(0))
        await place.forget()

    async def _read(self, opening: Awaitable[Any]) -> None:
        self.words[TRIES] += 1
        with suppress(Failure):
            session = await opening
            try:
                self.words[READ_LINES] += len(await session.read(MAX_DATA)) > 0
            finally:
                await session.forget()

    async def _try(self, what: int, attempt: Awaitable[Any]) -> None:
        self.words[TRIES] += 1
        try:
            found = await attempt
        except (Failure, ServerDied):
            return
        self.words[what] += 1
        if hasattr(found, "forget"):
            await found.forget()

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
