"""What the process server writes down: each process, each launcher, each cap to one; and where that lies in memory.

A process's row says everything by which it can be gone on with, or taken apart, by a program that never saw it: the
slots of its objects, the numbers of its memory, how it stands. The table is written before what it says is done, and
never between two invocations of the kernel that belong together, but at both ends of them.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

from capkernel.protocols.given import GivenCap
from capkernel.protocols.processes import Status
from capkernel.user.kept import Kept
from capkernel.user.messages import SharedRegion, from_words, to_words
from capkernel.user.operations import load, store
from capkernel.user.process import FIRST_CAP, FIRST_EMPTY, MAX_CAPS, NamedCap
from servers.system.process_objects import PLACE, PLACES

MAX_NUMBERS: Final = 256
"""Of processes in badges."""
MARGIN: Final = 4096
"""Bytes that stay free for what a request adds that nobody asks room for: a cap, a name, a status."""
_WORD: Final = 8
_HEADER: Final = 16


@frozen
class KeptChunk:
    """Memory of an account: its number there, its pages, and how many of them were used."""

    number: int
    pages: int
    used: int


@frozen
class KeptShare:
    """A launcher that a process was given, under a name."""

    name: str
    launcher: int


@frozen
class KeptChild:
    """The objects of a process that has not been taken apart; caps by their addresses, 0 for none.

    ``number`` is in its badge, ``slots`` hold its objects, ``tables`` are the places of its page tables, ``pending`` is
    a slot of its CSpace that is being changed.
    """

    number: int
    time: int
    chunks: list[KeptChunk]
    slots: list[int]
    tcb: int
    cnode: int
    vspace: int
    badged: int
    tables: list[int]
    entry: int
    caps: list[NamedCap]
    shares: list[KeptShare]
    pending: int
    is_paged: bool
    is_running: bool
    startup: list[int]
    granted_at: int
    version: int

    def check(self) -> None:
        """Raise ValueError if a process cannot be so."""
        if not {self.tcb, self.cnode, self.vspace, *self.startup} <= {0, *self.slots}:
            raise ValueError("an object of a process is in none of its slots")
        if self.pending not in (0, *range(FIRST_CAP, FIRST_EMPTY)) or not 0 <= self.number < MAX_NUMBERS:
            raise ValueError(f"a process has the number {self.number}, or is given a cap in slot {self.pending}")
        if len(self.caps) > MAX_CAPS or any(cap.address not in range(FIRST_CAP, FIRST_EMPTY) for cap in self.caps):
            raise ValueError("a process was given caps where none can be")


@frozen
class KeptProcess:
    """A process; one that ``is_broken`` is not prepared yet. ``launcher`` is 0 and ``child`` None if it has been taken
    apart. ``watcher`` is the cap to what is signalled at its end.
    """

    id: int
    parent: int
    launcher: int
    name: str
    state: Status
    is_broken: bool
    cpu_us: int
    watcher: int
    child: KeptChild | None


@frozen
class KeptLauncher:
    """A launcher. ``parent`` is 0 for that of a ``channel``; ``number`` and ``next_number`` are its account's: in the
    account above, and for what is in it. ``account`` is the cap to that.
    """

    id: int
    parent: int
    channel: int
    number: int
    next_number: int
    account: int
    memory: int
    limit: int
    owner: int
    sessions: list[int]


@frozen
class KeptObject:
    """To what a cap leads."""

    is_launcher: bool
    id: int


@frozen
class KeptProcesses:
    """All of it. ``next_number`` is that of the server's own account."""

    next_process: int
    next_launcher: int
    next_number: int
    launchers: list[KeptLauncher]
    processes: list[KeptProcess]
    objects: list[KeptObject]
    caps: list[GivenCap]

    def slots_in_use(self) -> Iterator[int]:
        """The addresses of all caps that it names."""
        for launcher in self.launchers:
            yield launcher.account
        for process in self.processes:
            yield process.watcher
            if process.child is not None:
                yield process.child.badged
                yield from process.child.slots

    def check(self, times: Iterable[int]) -> None:
        """Raise ValueError if no process server can have written this down. ``times`` are those that there are."""
        launchers: set[int] = set()
        for launcher in self.launchers:
            if launcher.parent not in launchers | {0} or launcher.id in launchers or launcher.id <= 0:
                raise ValueError(f"launcher {launcher.id} cannot be below launcher {launcher.parent}")
            launchers.add(launcher.id)
        processes = [process.id for process in self.processes]
        if len(set(processes)) < len(processes):
            raise ValueError("a process is there twice")
        if any(each.launcher not in launchers for each in self.processes if each.child is not None):
            raise ValueError("a process belongs to no launcher")
        children = [process.child for process in self.processes if process.child is not None]
        for child in children:
            child.check()
        if any(address and address & ~(PLACES - 1) != PLACE for address in self.slots_in_use()):
            raise ValueError("a cap is where none of this server's can be")
        if not {share.launcher for child in children for share in child.shares} <= launchers:
            raise ValueError("a process was given a launcher that is not there")
        left = list(times)
        for child in children:
            if child.time not in left:
                raise ValueError(f"time {child.time} is not there, or is used twice")
            left.remove(child.time)
        if len({child.number for child in children}) < len(children):
            raise ValueError("two processes have the same badge")
        if any(each.id not in (launchers if each.is_launcher else processes) for each in self.objects):
            raise ValueError("a cap leads to what is not there")


class Record:
    """The table in a ``region`` that outlives the server.

    Its first word is the number of a cap that is being handed out: whether it has arrived is not known before the word
    is 0 again.
    """

    def __init__(self, region: SharedRegion) -> None:
        self.region = region
        self._kept = Kept(SharedRegion(region.vaddr + _WORD, region.size - _WORD))
        self._last = b""

    @property
    def version(self) -> int:
        """Which version of the table is there."""
        return self._kept.version

    async def load(self) -> KeptProcesses | None:
        """What a former life has written down, if anything. Raises ValueError if it means nothing."""
        data = await self._kept.load()
        if not data:
            return None
        if len(data) % _WORD:
            raise ValueError("the table does not end with a word")
        return from_words(KeptProcesses, struct.unpack(f"<{len(data) // _WORD}Q", data))

    async def save(self, table: KeptProcesses) -> None:
        """Keep this, if it is something new. Raises ValueError if there is no room."""
        words = to_words(table)
        data = struct.pack(f"<{len(words)}Q", *words)
        if data != self._last:
            await self._kept.save(data)
            self._last = data

    async def forget(self) -> None:
        """Keep nothing, as if there had been no former life."""
        await self._kept.save(b"")

    def has_room(self, size: int = 0) -> bool:
        """Whether a table with so many bytes more fits."""
        return len(self._last) + size + MARGIN <= (self.region.size - _WORD) // 2 - _HEADER

    async def offered(self) -> int:
        """The number of the cap that was being handed out, or 0."""
        return await load(self.region.vaddr, _WORD)

    async def offer(self, number: int) -> None:
        """A cap is being handed out; 0: it has arrived."""
        await store(self.region.vaddr, number, _WORD)
