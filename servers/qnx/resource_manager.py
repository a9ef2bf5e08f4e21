"""A resource manager: attaches to paths, and serves who opens them. The framework; what is served says a subclass.

    class Null(ByteResource):
        async def open(self, rest, access): ...

    class Program(ResourceManager):
        async def resources(self, pd):
            return [Attach("/dev/null", Null())]

QNX's framework has tables of connect functions (``open``) and I/O functions (``read``, ``write``, ``devctl``), with
defaults for those that a manager does not have. Here they are the methods of ``Resource`` and ``OpenResource``;
``ByteResource`` and ``ByteSession`` are the defaults (``iofunc_*``): bytes, with a position for each session.
Pulses and other signals come to ``notified``, in the same loop.
"""

from abc import ABC, abstractmethod
from typing import Any, Final

from attrs import frozen

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Malformed, NoSpace, NotFound, NotPermitted, TooLarge, Unsupported
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.qnx_paths import MAX_DATA, Access, OpenResource, PathManager, Place, Resource
from capkernel.protocols.service import CLIENT_RIGHTS, FIRST_OPENED, Service
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import ENDPOINT_BADGE, PD
from capkernel.user.syscalls import Message

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
PATHS: Final = 310
"""Cap to the path manager that takes caps along, with the badge of this domain's channel to it."""


@frozen
class Attach:
    """What is to be served where."""

    path: str
    resource: Resource
    place: Place = Place.BEFORE
    is_directory: bool = False
    is_opaque: bool = False


class ByteResource(Resource):
    """Bytes that everybody shares who opens them, at most ``limit``."""

    def __init__(self, content: bytes = b"", limit: int = 4096, *, is_writable: bool = True) -> None:
        self.content = bytearray(content)
        self.limit = limit
        self.is_writable = is_writable

    async def open(self, rest: str, access: Access) -> OpenResource:
        """A session with a position of its own."""
        if rest:
            raise NotFound(f"there is nothing below it: {rest!r}")
        if access is not Access.READ and not self.is_writable:
            raise NotPermitted("it can only be read")
        return ByteSession(self, access)


class ByteSession(OpenResource):
    """A session with bytes (an open control block)."""

    def __init__(self, resource: ByteResource, access: Access) -> None:
        self.resource = resource
        self.access = access
        self.position = 0

    async def read(self, size: int) -> bytes:
        """From the position on."""
        if self.access is Access.WRITE:
            raise NotPermitted("it was opened to be written")
        if not 0 <= size <= MAX_DATA:
            raise Malformed(f"0 to {MAX_DATA} bytes are read at a time, not {size}")
        found = bytes(self.resource.content[self.position : self.position + size])
        self.position += len(found)
        return found

    async def write(self, data: bytes) -> int:
        """At the position."""
        if self.access is Access.READ:
            raise NotPermitted("it was opened to be read")
        if len(data) > MAX_DATA:
            raise TooLarge(f"at most {MAX_DATA} bytes are written at a time, not {len(data)}")
        end = self.position + len(data)
        if end > self.resource.limit:
            raise NoSpace(f"there is room for {self.resource.limit} bytes")
        content = self.resource.content
        content.extend(bytes(max(0, end - len(content))))
        content[self.position : end] = data
        self.position = end
        return len(data)

    async def seek(self, position: int) -> None:
        """Move."""
        if not 0 <= position <= self.resource.limit:
            raise Malformed(f"a position is 0 to {self.resource.limit}, not {position}")
        self.position = position

    async def devctl(self, command: int, data: bytes) -> bytes:
        """Bytes have nothing particular."""
        raise Unsupported(f"there is no command {command}")


class Directory(Resource):
    """Resources by name."""

    def __init__(self, below: dict[str, Resource]) -> None:
        self.below = below

    async def open(self, rest: str, access: Access) -> OpenResource:
        """Open what is below."""
        name, _, further = rest.partition("/")
        if name not in self.below:
            raise NotFound(f"there is no {rest!r}")
        return await self.below[name].open(further, access)


class ResourceManager(ABC):
    """The hooks of a resource manager's program."""

    def __init__(self) -> None:
        self.service: Any = None
        self.inbox: Any = None
        self.attached: list[Attach] = []
        self.numbers: list[int] = []

    @abstractmethod
    async def resources(self, pd: PD) -> list[Attach]:
        """What is to be served."""

    async def init(self, pd: PD) -> None:
        """Attach. Raises what the path manager answers if it refuses."""
        self.attached = await self.resources(pd)
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()
        self.inbox = inbox
        await self.attach(pd)

    async def attach(self, pd: PD) -> None:
        """Attach, also again when the path manager was started anew. Raises what it answers."""
        inbox = self.inbox
        paths = connect(PathManager, Connection(pd.sys, inbox), PATHS)
        self.numbers.clear()
        for index, each in enumerate(self.attached):
            slot = inbox.slots.alloc()
            await stubs.cnode_mint(
                pd.sys, OWN_CNODE, dest_index=slot, dest_depth=inbox.slots.depth, src_root=OWN_CNODE,
                src_index=ENDPOINT, src_depth=inbox.slots.depth, rights=CLIENT_RIGHTS,
                badge=ENDPOINT_BADGE | FIRST_OPENED + index,
            )  # fmt: skip
            try:
                number = await paths.attach(each.path, Cap(slot), each.place, each.is_directory, each.is_opaque)
            finally:
                await inbox.discard(slot)
            self.numbers.append(number)

    def _root(self, session: int) -> Interface | None:
        index = session - FIRST_OPENED
        return self.attached[index].resource if 0 <= index < len(self.attached) else None

    async def notified(self, pd: PD, ch: int) -> None:
        """A signal or a pulse: for a manager that has some."""
        await self.service.run_ready()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
