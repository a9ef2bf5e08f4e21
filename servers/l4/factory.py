"""Factories: kernel objects by quota, as Fiasco.OC has them.

There a factory counts the kernel memory of what is made through it. Here it *has* that memory: an untyped, out of which
its objects are made, and smaller factories. So nobody's objects take what was promised to another, not even by
fragmenting it, and a factory ends with one revoke. A table of TOML says of each session how much its factory has.
"""

import tomllib
from typing import Any, Final

from attrs import define, frozen

from capkernel.abi import objects as obj
from capkernel.protocols.failures import AlreadyExists, Malformed, NotFound, Refused
from capkernel.protocols.interface import Cap
from capkernel.protocols.l4 import FactoryInfo, Kind, ObjectFactory
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.l4.kernel_memory import MIN_BITS, Block, KernelMemory, Places

ENDPOINT, OWN_CNODE, MEMORY, PLACE_CNODE, ASIDS = 300, 301, 302, 303, 304
FIRST_SLOT, END_SLOT = 310, 340
PLACE_ROOT, PLACE_BITS = 5, 12
MEMORY_BITS: Final = 18
TABLE: Final = 0x1000
_TYPES: Final = {
    Kind.GATE: obj.ENDPOINT, Kind.IRQ: obj.NOTIFICATION, Kind.THREAD: obj.TCB, Kind.TASK: obj.PAGE_TABLE,
    Kind.CAPS: obj.CNODE,
}  # fmt: skip
_SIZES: Final = {Kind.CAPS: range(1, 9)}
_NO_SIZE: Final = range(1)


@frozen
class Made:
    """An object: its cap, and the memory that it takes."""

    kind: Kind
    size_bits: int
    cap: int
    block: Block


@define(eq=False)
class MadeFactory:
    """A factory that was made from another."""

    servant: "FactoryServant"
    block: Block


class FactoryServant(ObjectFactory):
    """A factory. ``above`` is the one that it was made from, and its number there."""

    def __init__(self, memory: KernelMemory, above: "tuple[FactoryServant, int] | None" = None) -> None:
        self.memory = memory
        self.above = above
        self.objects: dict[int, Made] = {}
        self.factories: dict[int, MadeFactory] = {}
        self.service: Any = above[0].service if above else None

    async def create(self, number: int, kind: Kind, size_bits: int) -> Cap:
        """Make an object."""
        if size_bits not in _SIZES.get(kind, _NO_SIZE):
            raise Malformed(f"a {kind.value} cannot have size {size_bits}")
        found = self.objects.get(number)
        if number in self.factories or (found is not None and (found.kind, found.size_bits) != (kind, size_bits)):
            raise AlreadyExists(f"something else has number {number}")
        if found is None:
            found = self.objects[number] = await self._make(kind, size_bits)
        return Cap(found.cap)

    async def _make(self, kind: Kind, size_bits: int) -> Made:
        block = await self.memory.take(obj.object_size_bits(_TYPES[kind], size_bits))
        places = self.memory.places
        try:
            cap = await places.make(block.cap, _TYPES[kind], size_bits)
        except Exception:
            await self.memory.give_back(block)
            raise
        made = Made(kind, size_bits, cap, block)
        if kind is Kind.TASK:
            try:
                await stubs.asid_pool_assign(places.sys, ASIDS, vspace=cap)
            except KernelError as error:
                await self._unmake(made)
                raise Refused(f"there is no number for another address space: {error}") from None
        return made

    async def _unmake(self, made: Made) -> None:
        await self.memory.give_back(made.block)
        self.memory.places.forget(made.cap)

    async def create_factory(self, number: int, size_bits: int) -> ObjectFactory:
        """Make a factory."""
        if not MIN_BITS <= size_bits < self.memory.bits:
            raise Malformed(f"a factory has at least 2**{MIN_BITS} bytes, and fewer than the one that it is made from")
        found = self.factories.get(number)
        if number in self.objects or (found is not None and found.servant.memory.bits != size_bits):
            raise AlreadyExists(f"something else has number {number}")
        if found is None:
            block = await self.memory.take(size_bits)
            memory = KernelMemory(self.memory.places, block.cap, size_bits)
            found = self.factories[number] = MadeFactory(FactoryServant(memory, (self, number)), block)
        return found.servant

    async def destroy(self, number: int) -> None:
        """Destroy an object or a factory."""
        made = self.objects.pop(number, None)
        if made is not None:
            await self._unmake(made)
            return
        factory = self.factories.pop(number, None)
        if factory is None:
            raise NotFound(f"nothing has number {number}")
        await self.memory.give_back(factory.block)
        factory.servant.forget()

    def forget(self) -> None:
        """All that was made here is gone, and nobody reaches this factory any more."""
        for made in self.objects.values():
            self.memory.places.forget(made.cap)
        for factory in self.factories.values():
            factory.servant.forget()
        self.objects.clear()
        self.factories.clear()
        self.memory.forget()
        self.above = None
        self.service.revoke(self)

    async def info(self) -> FactoryInfo:
        """How it stands."""
        return FactoryInfo(1 << self.memory.bits, self.memory.used, len(self.objects) + len(self.factories))

    async def closed(self) -> None:
        """No cap leads here any more."""
        if self.above is not None:
            above, number = self.above
            await above.destroy(number)


class Program:
    """The server. ``table`` has lines as ``2 = 14`` under ``[quota]``: session 2 has a factory of 2**14 bytes."""

    table: int = 0

    def __init__(self) -> None:
        self.service: Any = None
        self.roots: dict[int, FactoryServant] = {}

    async def init(self, pd: PD) -> None:
        """Divide the memory, and serve."""
        text = (await pd.read(self.table, TABLE)).rstrip(b"\0").decode()
        quotas: dict[str, int] = tomllib.loads(text)["quota"]
        places = Places(pd.sys, PLACE_CNODE, PLACE_ROOT, PLACE_BITS)
        memory = KernelMemory(places, MEMORY, MEMORY_BITS)
        for session, bits in quotas.items():
            self.roots[int(session)] = FactoryServant(await self.divide(memory, bits))
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self.roots.get, endpoint=ENDPOINT, inbox=inbox)
        for root in self.roots.values():
            root.service = self.service

    async def divide(self, memory: KernelMemory, bits: int) -> KernelMemory:
        """The memory of a session's factory. Raises QuotaExceeded if the table promises more than there is."""
        return KernelMemory(memory.places, (await memory.take(bits)).cap, bits)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """Somebody asks."""
        return await self.service.protected(msg)
