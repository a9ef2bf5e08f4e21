"""Processes as POSIX sees them: who is whose child, where each is, what it has open, how it ended."""

from typing import Any

from attrs import define, field

from capkernel.protocols.posix import OPEN_MAX, Errno
from capkernel.user.tasks import Condition
from servers.posix.descriptions import Description
from servers.posix.paths import Names, PosixError

INIT = 1
"""The process that nobody started; who loses its parent is its child."""


@define(eq=False)
class Entry:
    """A process. ``process`` is the process server's, None for init; ``ending`` is (code, signal) once it has ended.

    ``is_adopted`` says that its parent ended before it: nobody waits for it.
    """

    pid: int
    parent: int
    cwd: Names = ()
    fds: dict[int, Description] = field(factory=dict)
    process: Any = None
    ending: tuple[int, int] | None = None
    is_adopted: bool = False

    def description(self, fd: int) -> Description:
        """What a file descriptor refers to. Raises EBADF."""
        if fd not in self.fds:
            raise PosixError(Errno.EBADF)
        return self.fds[fd]

    def put(self, description: Description, fd: int | None = None) -> int:
        """Refer to something by a file descriptor, the lowest if none is named. Raises EMFILE."""
        if fd is None:
            fd = next((number for number in range(OPEN_MAX) if number not in self.fds), None)
        if fd is None:
            raise PosixError(Errno.EMFILE)
        self.fds[fd] = description
        description.users += 1
        return fd


class Table:
    """All processes. ``changed`` is notified when one has ended."""

    def __init__(self) -> None:
        self.entries = {INIT: Entry(INIT, 0)}
        self.last = INIT
        self.changed = Condition()

    def enter(self, parent: Entry, process: Any) -> Entry:
        """A new child, which has nothing open."""
        self.last += 1
        entry = self.entries[self.last] = Entry(self.last, parent.pid, parent.cwd, process=process)
        return entry

    def children(self, parent: Entry) -> list[Entry]:
        """Those that it has to wait for, or may."""
        return [entry for entry in self.entries.values() if entry.parent == parent.pid]

    def ended(self, entry: Entry, code: int, signal: int) -> None:
        """A process is over: its children are init's, and its parent may learn of it."""
        entry.ending = code, signal
        for child in self.children(entry):
            child.parent, child.is_adopted = INIT, True
        for each in list(self.entries.values()):
            if each.is_adopted and each.ending is not None:
                self.reap(each)
        self.changed.notify()

    def reap(self, entry: Entry) -> None:
        """Its parent knows."""
        self.entries.pop(entry.pid, None)
