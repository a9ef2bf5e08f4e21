"""Looking through a tree that others serve: with an end, whatever they answer.

What is bounded here is how much is asked. Whether an answer ever comes is not in the hands of who asks: so whoever
walks among others' translators does it in a process of its own, and ends that when its patience does
(``clients/searcher.py``).
"""

from typing import Any, Final

from attrs import define, field, frozen

from capkernel.protocols.failures import Failure, Malformed
from capkernel.protocols.files import READ, Directory, Entry, Kind, checked_name
from servers.hurd.proving import after


@frozen
class Limits:
    """How many nodes are looked at, names that cannot be among them, and how deep. At most ``depth`` + 1 caps are held
    at a time."""

    nodes: int = 1000
    depth: int = 16


@frozen
class Found:
    """A node: the names that lead to it, and what it is said to be."""

    path: tuple[str, ...]
    kind: Kind
    size: int


USUAL: Final = Limits()


@define
class Walk:
    """What was found; ``is_cut`` if there is more, ``refused`` counts directories that could not be looked into."""

    limits: Limits = USUAL
    found: list[Found] = field(factory=list)
    is_cut: bool = False
    refused: int = 0
    _asked: int = 0

    async def look(self, directory: Directory, path: tuple[str, ...] = ()) -> None:
        """Look through a directory and what is below it, as far as the limits go."""
        start = 0
        while self._asked < self.limits.nodes:
            try:
                entries = await directory.list(start)
            except Failure:
                self.refused += 1
                return
            if not entries:
                return
            start += len(entries)
            for entry in entries:
                if self._asked >= self.limits.nodes:
                    break
                await self._entry(directory, path, entry)
        self.is_cut = True

    async def _entry(self, directory: Directory, path: tuple[str, ...], entry: Entry) -> None:
        self._asked += 1
        try:
            here = (*path, checked_name(entry.name))
        except Malformed:
            self.refused += 1
            return
        self.found.append(Found(here, entry.kind, entry.size))
        if entry.kind is not Kind.DIRECTORY:
            return
        if len(here) > self.limits.depth:
            self.is_cut = True
            return
        try:
            below: Any = await directory.directory(entry.name, READ)
        except Failure:
            self.refused += 1
            return
        await after(below, self.look(below, here))
