"""Processes: programs started while the system runs, with just the caps that they are given.

A launcher is the authority to have processes: a quota of memory, and of processes at a time. ``create`` makes a process
that has nothing; it is given a program and caps one by one, and started. Its life is over when it says so, when it does
what it must not, when somebody kills it, and when the launcher from which it comes is closed. A process that was given
a launcher takes what it started with it. Everything that a process had is returned at once.
"""

from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import frozen

from capkernel.protocols.files import File
from capkernel.protocols.interface import Cap, Interface, operation

MAX_PROGRAM: Final = 1 << 19
"""Bytes of a program's file."""
MAX_NAME: Final = 64


class State(Enum):
    """Where a process stands."""

    PREPARED = "prepared"
    RUNNING = "running"
    EXITED = "exited"
    FAULTED = "faulted"
    KILLED = "killed"


@frozen
class Status:
    """How a process stands, or how it ended: ``code`` if it EXITED; if it FAULTED, the fault, where, and a sentence."""

    state: State
    code: int = 0
    fault: str = ""
    pc: int = 0
    text: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state not in (State.PREPARED, State.RUNNING)


@frozen
class ProcessInfo:
    """A process: its number, unique in its server's life, its name, the bytes of memory that it takes now.

    ``parent`` is the process that started it with a launcher of its own, or 0; ``cpu_us`` the time for which it ran.
    """

    number: int
    name: str
    state: State
    memory: int
    parent: int
    cpu_us: int


@frozen
class HeldCap:
    """A slot of a process's CSpace: the name under which it was given a cap there, or none if it got it by itself.

    ``is_there`` says whether a cap is in the slot now: a process may delete and move caps.
    """

    slot: int
    name: str
    is_there: bool


@frozen
class Quota:
    """What a launcher may have at a time, and what of it is taken: by processes, and by launchers below."""

    memory: int
    processes: int
    memory_taken: int
    processes_taken: int


class Process(Interface, number=50):
    """A process. Whoever has the cap may do with it what is here; when the last one is dropped, it is killed."""

    @operation(1)
    @abstractmethod
    async def load(self, program: File) -> None:
        """Put its program into its memory: machine code (ELF for RISC-V), or a text ``#!capkernel NAME``.

        WrongKind if the file is neither, Corrupt if it is damaged, NotFound if no program of that name is installed,
        TooLarge, QuotaExceeded. Malformed if the file is not one of the file server's that this server knows.
        """

    @operation(2)
    @abstractmethod
    async def give(self, name: str, cap: Cap) -> None:
        """Give it a cap, under a name, now or while it runs. AlreadyExists, TooLarge if it has as many as can be.

        A process that runs learns of it when it looks (``user.process.Process.refresh``). Refused if it has ended.
        """

    @operation(3)
    @abstractmethod
    async def give_slots(self) -> None:
        """Give it its own CSpace, as ``slots``: it can receive caps then."""

    @operation(4)
    @abstractmethod
    async def give_launcher(self, name: str, memory: int, processes: int) -> None:
        """Give it a part of the quota from which it comes, as a launcher that ends with it."""

    @operation(5)
    @abstractmethod
    async def start(self, arguments: list[str], heap: int) -> None:
        """Let it run, with ``heap`` bytes of zeros. Refused if it has no program, or runs."""

    @operation(6)
    @abstractmethod
    async def wait(self) -> Status:
        """Wait until it has ended."""

    @operation(7)
    @abstractmethod
    async def status(self) -> Status:
        """How it stands."""

    @operation(8)
    @abstractmethod
    async def kill(self) -> Status:
        """End it, if it has not ended; returns how it ended."""

    @operation(9)
    @abstractmethod
    async def info(self) -> ProcessInfo:
        """What is known of it."""

    @operation(11)
    @abstractmethod
    async def withdraw(self, name: str) -> None:
        """Take away what it was given under a name: that slot is empty then, a launcher ends with all that it started.

        What the process made of the cap (copies, things that it opened) ends only when whoever gave the cap revokes it
        at its server. NotFound, Refused if the process has ended.
        """

    @operation(12)
    @abstractmethod
    async def caps(self, start: int) -> list[HeldCap]:
        """Its slots that were given or have a cap in them, from slot ``start`` on, at most eight."""

    @operation(13)
    @abstractmethod
    async def watch(self, notification: Cap) -> None:
        """Signal this when it has ended, once; now, if it has. It takes the place of one that was given before."""

    @operation(10)
    @abstractmethod
    async def page(self, segment: Cap) -> None:
        """Give it a segment of the pager's that this server knows, as its heap. Malformed; Refused if it has one."""


class Launcher(Interface, number=51):
    """The authority to have processes. When its last cap is dropped, all that it started are killed."""

    @operation(1)
    @abstractmethod
    async def create(self, name: str) -> Process:
        """A new process, with nothing in it. QuotaExceeded; Malformed if the name has not 1 to 64 characters."""

    @operation(2)
    @abstractmethod
    async def split(self, memory: int, processes: int) -> "Launcher":
        """A launcher with a part of this one's quota. QuotaExceeded."""

    @operation(3)
    @abstractmethod
    async def quota(self) -> Quota:
        """How it stands."""

    @operation(4)
    @abstractmethod
    async def processes(self, after: int) -> list[ProcessInfo]:
        """The processes of this launcher, and of those below it, that have not ended: by number, those above ``after``,
        at most eight.
        """
