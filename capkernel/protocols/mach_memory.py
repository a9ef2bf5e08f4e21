"""Memory objects: pages that come from a task, the *pager*, and go back to it when their frames are needed.

The virtual memory server and pagers send each other messages. A memory object is a port of its pager's; the right to
answer is a send right to a port that the server made for this object, its *control*.

| message            | from, to         | data                  |                                             |
|--------------------|------------------|-----------------------|---------------------------------------------|
| `INIT`             | server to pager  | object                | with a send right to the control port       |
| `DATA_REQUEST`     | server to pager  | object, page          | somebody waits for this page                |
| `DATA_SUPPLY`      | pager to server  | object, page, content | the answer                                  |
| `DATA_UNAVAILABLE` | pager to server  | object, page          | the answer "there is nothing": zeros        |
| `DATA_RETURN`      | server to pager  | object, page, content | it was changed, and its frame is needed     |

Objects are numbered by the server, pages from 0. An answer that nobody waits for changes nothing.

Source: K. Loepere, *Mach 3 Kernel Interfaces*, "External Memory Management"; M. Young, *Exporting a User Interface to
Memory Management from a Communication-Oriented Operating System* (1989).
"""

import struct
from abc import abstractmethod
from typing import Final

from attrs import frozen

from capkernel.abi.objects import PAGE_BYTES
from capkernel.protocols.failures import Malformed
from capkernel.protocols.interface import Interface, operation
from capkernel.protocols.mach_ports import SendRight

PAGE: Final = PAGE_BYTES
INIT: Final = 2200
DATA_REQUEST: Final = 2203
DATA_SUPPLY: Final = 2205
DATA_UNAVAILABLE: Final = 2206
DATA_RETURN: Final = 2209
MAX_MESSAGE: Final = PAGE + 16
DEFAULT_PAGER: Final = "default_pager"
"""The key under which the default pager's port is checked in. It serves all objects, by their numbers."""
_HEADER: Final = struct.Struct("<2Q")


@frozen
class PageMessage:
    """The data of any of the messages. ``content`` is a whole page, or empty."""

    object: int
    page: int = 0
    content: bytes = b""

    def encode(self) -> bytes:
        """As bytes."""
        return _HEADER.pack(self.object, self.page) + self.content

    @classmethod
    def decode(cls, data: bytes) -> "PageMessage":
        """From bytes. Raises Malformed."""
        if len(data) not in (_HEADER.size, MAX_MESSAGE):
            raise Malformed(f"a message about a page has {_HEADER.size} or {MAX_MESSAGE} bytes, not {len(data)}")
        number, page = _HEADER.unpack_from(data)
        return cls(number, page, data[_HEADER.size :])


@frozen
class ObjectInfo:
    """What became of a memory object's pages: how many are in memory; what was asked of its pager and of the default
    pager; what was supplied, returned to each, and supplied without having been asked for.
    """

    resident: int
    requests: int
    default_requests: int
    supplies: int
    returns: int
    default_returns: int
    unasked: int


class AddressSpace(Interface, number=89):
    """A task's memory that is backed by memory objects."""

    @operation(1)
    @abstractmethod
    async def map(self, memory_object: SendRight, address: int, pages: int) -> int:
        """Show the first pages of an object at an address, where the task has page tables; returns the object's number.
        A right that was derived for this. Malformed if there is something, or it is no page's address, or the pages are
        not 1 to 64; DeadName.
        """

    @operation(2)
    @abstractmethod
    async def info(self, memory_object: int) -> ObjectInfo:
        """How an object that this task has mapped stands. NotFound."""
