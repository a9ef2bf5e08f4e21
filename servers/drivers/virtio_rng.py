"""The driver of a virtio entropy device (VIRTIO 1.2, section 5.4).

It asks for bytes before they are wanted, and keeps a small pool. What the device says is not believed: a length beyond
the buffer, or none, breaks its rules; of a shorter one just so many bytes are taken, from a page that was zero before;
and if a block of them is like the one before, the device is stuck. Then it is reset, and if that does not help, the
driver gives up by an exception.

What this does not do: it mixes nothing, estimates nothing, and does not make a bad source good. Bytes that were given
out are forgotten, but Python does not wipe the memory in which they were.
"""

from typing import Any, ClassVar, Final

from capkernel.protocols.entropy import MAX_COUNT, Entropy
from capkernel.protocols.failures import Malformed
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from servers.drivers.virtio import IRQ, PATIENCE, SUPERVISOR, Buffer, Device, DeviceMisbehaved, Layout, Queue
from servers.neighbours import Role, Serves, Uses
from servers.system.retiring import decline, retire

registers: int = 0
rings: int = 0
rings_io: int = 0x1000_0000

CLIENTS, UPDATE = range(2, 20), 20
"""Channels."""
FIRST_REPLY, REPLIES = 302, 4
_SIZE: Final = 2
_BYTES: Final = 0x800
"""Offset of the bytes in the page."""
FILL: Final = 256
POLL, POLLS = 100, 200
"""Ticks after which a driver that is to retire looks again whether all have their bytes; how often, at most."""
POOL: Final = 512
"""Bytes that are kept at most."""
BLOCK: Final = 16
"""Bytes; two blocks in a row that are equal do not happen by chance."""


class Source(Device):
    """The device, and the pool of bytes that it gave."""

    kind = 4

    def __init__(self, pd: PD, registers: int, rings: int, rings_io: int) -> None:
        self.queue = Queue(pd, Layout(rings, rings_io, _SIZE), 1)
        super().__init__(pd, registers, self.queue)
        self.rings = rings
        self.rings_io = rings_io
        self.pool = b""
        self.last_block = b""
        self.filled = Condition()
        self.age = 0

    async def configure(self) -> None:
        """It has no configuration."""

    async def resume(self) -> None:
        """Ask anew."""
        await self.ask()

    async def ask(self) -> None:
        """Ask for bytes if there is room for them."""
        if not self.queue.outstanding and len(self.pool) + FILL <= POOL:
            self.age = 0
            await self.pd.write(self.rings + _BYTES, bytes(FILL))
            await self.queue.offer(0, [Buffer(self.rings_io + _BYTES, FILL, True)])
            await self.transport.notify(0)

    async def beat(self) -> None:
        """See whether the device takes too long."""
        self.age += bool(self.queue.outstanding)
        if self.age > PATIENCE:
            raise DeviceMisbehaved("a request for entropy is not answered")

    async def collect(self) -> None:
        """Put what came into the pool, and ask for more."""
        for _, written in await self.queue.completed():
            if not written:
                raise DeviceMisbehaved("the device gives no bytes")
            self._keep(await self.pd.read(self.rings + _BYTES, written))
            await self.pd.write(self.rings + _BYTES, bytes(FILL))
            self.resets = 0
            self.filled.notify()
        await self.ask()

    def _keep(self, data: bytes) -> None:
        """Put bytes into the pool. Raises DeviceMisbehaved if they repeat."""
        blocks = [data[start : start + BLOCK] for start in range(0, len(data) - BLOCK + 1, BLOCK)]
        for block in blocks:
            if block == self.last_block:
                raise DeviceMisbehaved("the device repeats itself")
            self.last_block = block
        self.pool += data


class EntropyServant(Entropy):
    """The source, as clients see it: who asked first is served first."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.line: list[object] = []

    async def read(self, count: int) -> bytes:
        """Bytes."""
        if not 0 < count <= MAX_COUNT:
            raise Malformed(f"1 to {MAX_COUNT} bytes are read at a time, not {count}")
        place = object()
        self.line.append(place)
        try:
            while self.line[0] is not place or len(self.source.pool) < count:
                await self.source.filled.wait()
        finally:
            self.line.remove(place)
            self.source.filled.notify()
        data, self.source.pool = self.source.pool[:count], self.source.pool[count:]
        await self.source.ask()
        return data


class Program:
    """The driver."""

    uses: ClassVar[Uses] = Uses(
        serves=dict.fromkeys(CLIENTS, Serves(Entropy)), interrupts=frozenset({IRQ}),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"registers", "rings"}),
    )

    def __init__(self) -> None:
        self.source: Any = None
        self.servant: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Start the device, and serve."""
        pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))
        self.source = Source(pd, registers, rings, rings_io)
        await self.source.start()
        self.servant = EntropyServant(self.source)
        self.service = Service(pd, roots=self._root)

    def _root(self, session: int) -> Interface | None:
        servant: Interface = self.servant
        return servant if session in CLIENTS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The device interrupts, or the supervisor wants a sign of life, or another program in this one's place."""
        if ch == UPDATE:
            await self._give_way(pd)
            return
        await self.source.notified(ch)
        await self.service.run_ready()

    async def _give_way(self, pd: PD) -> None:
        """Everybody gets his bytes first. Those in the pool are nobody's, and are not handed over."""
        for _ in range(POLLS):
            await self.source.settle()
            await self.service.run_ready()
            if not self.servant.line:
                await retire(pd, UPDATE)
            await pd.compute(POLL)
        await decline(pd, "the device gives nobody his bytes")

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        answer = await self.service.protected(msg)
        await self.service.run_ready()
        return answer
