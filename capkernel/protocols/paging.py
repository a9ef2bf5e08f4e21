"""Memory that is larger than what is there: pages come when they are touched, and go when others need the room.

A segment is memory of a process, at ``user.process.HEAP``: zeros, or a file's content, of which changes stay the
segment's own. It is held in as many frames as its pool has; what was changed and has no room is written to the disk.
"""

from abc import abstractmethod

from attrs import frozen

from capkernel.protocols.files import File
from capkernel.protocols.interface import Cap, Interface, operation


@frozen
class PagingInfo:
    """A segment's size in bytes, the frames of its pool and those in use; what happened in the pool so far.

    ``dropped`` counts pages that gave up their frame without being written, because they had not been changed.
    """

    size: int
    frames: int
    resident: int
    faults: int
    page_ins: int
    page_outs: int
    dropped: int
    copies: int


class Segment(Interface, number=52):
    """Paged memory. It lasts as long as a cap to it, or a process that has it."""

    @operation(1)
    @abstractmethod
    async def info(self) -> PagingInfo:
        """How it stands."""

    @operation(2)
    @abstractmethod
    async def snapshot(self) -> "Segment":
        """A segment with the same content, in the same pool: a page is copied when either is changed. QuotaExceeded if
        its client has as many pages as the pager writes down for one.
        """


class Pager(Interface, number=53):
    """Where segments come from."""

    @operation(1)
    @abstractmethod
    async def zeros(self, size: int, frames: int) -> Segment:
        """A segment of zeros with a pool of its own. QuotaExceeded, Malformed (whole pages, at least two frames)."""

    @operation(2)
    @abstractmethod
    async def file(self, file: File, size: int, frames: int) -> Segment:
        """The same with the first ``size`` bytes of a file of the pager's file server, else Malformed."""


@frozen
class Lost:
    """A process that touched what it has not got, or whose page could not be fetched: its fault."""

    space: int
    label: int
    words: list[int]


class PagingControl(Interface, number=54):
    """What the process server asks. Spaces are its own numbers for processes, 0 to 255."""

    @operation(1)
    @abstractmethod
    async def attach(self, segment: Segment, vspace: Cap, space: int, address: int) -> Cap:
        """Map a segment at ``address``; page tables are there. Returns the cap for the process's faults."""

    @operation(2)
    @abstractmethod
    async def detach(self, space: int) -> None:
        """The process is over."""

    @operation(4)
    @abstractmethod
    async def size(self, segment: Segment) -> int:
        """The size of a segment in bytes; Malformed if it is none of this pager's."""

    @operation(3)
    @abstractmethod
    async def lost(self) -> list[Lost]:
        """Processes whose faults are not the pager's to answer; each is told once. The pager signals when there are,
        and when it was started anew: it knows of none then that its former life has not told.
        """
