"""Refusals about I/O spaces: what the explanation says is missing, once given, makes the operation succeed."""

from collections.abc import Callable
from typing import Any

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import iospace as io
from capkernel.abi import objects as obj
from capkernel.kernel import caps as k
from capkernel.kernel import iospace, slots
from capkernel.kernel.invocations.iospace import perform_io_unmap
from capkernel.kernel.invocations.vspace import perform_page_unmap
from capkernel.kernel.objects import Slot
from capkernel.runtime.platform import PRESETS, configure
from capkernel.tools.conform.world import BOARD, World, create
from capkernel.tools.explain import Explainer
from capkernel.tools.explain import missing as m
from capkernel.tools.explain.census import slots_of
from hwmodel.board import VIRT_IOMMU
from tests.tools.test_explain import Giver, Operation, own_cnode, settle

DOMAIN, DEVICE = 5, 0x18
ADDRESS = 0x7000
IOMMU_BOARD = VIRT_IOMMU.with_ram(BOARD.ram.size)


class DeviceGiver(Giver):
    """Gives what has to do with devices, too."""

    def made(self, kind: str, that: str) -> Slot:
        if kind == "IOPageTable":
            return self.new(io.OBJECT_IO_PAGE_TABLE)
        if kind == "Frame":
            return self.new(obj.PAGE)
        if kind == "IOSpace":
            return own_cnode(self.world).slot(bi.CAP_IO_SPACE) if "master" in that else new_space(self.world)
        return super().made(kind, that)

    def _table(self, missing: m.Table) -> None:
        levels = (missing.ends_at - missing.bits) // io.IO_PT_INDEX_BITS
        for _ in range(levels or 1):
            table = self.world.own(self.new(io.OBJECT_IO_PAGE_TABLE).index)
            self.world.make(table, io.IO_PAGE_TABLE_MAP, [missing.vaddr], self.op().caps)

    def _unmapped(self, missing: m.Unmapped) -> None:
        """Clear the entry, at the level where one covers that many bits."""
        state = self.world.loop.state
        table = missing.root
        for level in range(io.IO_LEVELS):
            bits = obj.PAGE_BITS + io.IO_PT_INDEX_BITS * (iospace.LEAF_LEVEL - level)
            entry = table + 8 * (missing.vaddr >> bits & (1 << io.IO_PT_INDEX_BITS) - 1)
            if bits == missing.bits:
                iospace.write_io_pte(state, entry, 0, DOMAIN)
                return
            table = state.machine.read_word(entry) & ~0xFFF

    def _do_iopagetable_map(self, missing: m.ObjectState) -> None:
        for slot in slots_of(self.world.loop.state):
            if isinstance(slot.cap, k.IOPageTableCap) and slot.cap.paddr == missing.paddr:
                slot.cap = k.IOPageTableCap(missing.paddr, (DOMAIN, DEVICE), 1, ADDRESS)

    def _do_iopagetable_unmap(self, missing: m.ObjectState) -> None:
        self._unmap_all(missing.paddr)

    def _do_page_unmap(self, missing: m.ObjectState) -> None:
        self._unmap_all(missing.paddr)

    def _unmap_all(self, paddr: int) -> None:
        state = self.world.loop.state
        for slot in slots_of(state):
            if isinstance(slot.cap, k.FrameCap) and slot.cap.paddr == paddr:
                perform_page_unmap(state, slot, slot.cap)
            if isinstance(slot.cap, k.IOPageTableCap) and slot.cap.paddr == paddr:
                perform_io_unmap(state, slot, slot.cap)


def new_space(world: World) -> Slot:
    """The IOSpace of the device, minted from the master."""
    master, slot = own_cnode(world).slot(bi.CAP_IO_SPACE), own_cnode(world).slot(world.slot())
    slots.insert_derived(k.IOSpaceCap(DOMAIN, DEVICE), master, slot)
    return slot


class Site:
    """A machine with an IOMMU, the device's IOSpace, and as many tables in it as wanted."""

    def __init__(self, tables: int = io.IO_LEVELS) -> None:
        self.world = create(configure(PRESETS["golden"], IOMMU_BOARD), board=IOMMU_BOARD)
        self.space = self.world.own(new_space(self.world).index)
        for _ in range(tables):
            self.map_table()

    def map_table(self) -> int:
        table = self.world.own(self.world.new(io.OBJECT_IO_PAGE_TABLE))
        self.world.make(table, io.IO_PAGE_TABLE_MAP, [ADDRESS], [self.space])
        return table

    def frame(self, kind: int = obj.PAGE) -> int:
        return self.world.own(self.world.new(kind))

    def mapped(self) -> int:
        frame = self.frame()
        self.world.make(frame, io.PAGE_MAP_IO, [3, ADDRESS], [self.space])
        return frame

    def map_frame(self, frame: int, rights: int = 3, space: int | None = None) -> Operation:
        return Operation("Page_MapIO", frame, [rights, ADDRESS], [self.space if space is None else space])

    def map_new_table(self, table: int | None = None, space: int | None = None) -> Operation:
        table = self.world.own(self.world.new(io.OBJECT_IO_PAGE_TABLE)) if table is None else table
        return Operation("IOPageTable_Map", table, [ADDRESS], [self.space if space is None else space])


def occupied() -> tuple[Site, Operation]:
    site = Site()
    site.mapped()
    return site, site.map_frame(site.frame())


def mapped_already() -> tuple[Site, Operation]:
    site = Site()
    return site, site.map_frame(site.mapped())


def table_mapped_already() -> tuple[Site, Operation]:
    site = Site(0)
    return site, site.map_new_table(site.map_table())


def at(tables: int, make: Callable[[Site], Operation]) -> Callable[[], tuple[Site, Operation]]:
    def build() -> tuple[Site, Operation]:
        site = Site(tables)
        return site, make(site)

    return build


def master(site: Site) -> int:
    return site.world.own(bi.CAP_IO_SPACE)


def copied(site: Site) -> Operation:
    """A copy of an I/O page table that is not mapped."""
    world, table = site.world, site.world.new(io.OBJECT_IO_PAGE_TABLE)
    root = world.own(bi.CAP_INIT_CNODE)
    return Operation("CNode_Copy", root, [world.slot(), 64, table, 64, 15], [root])


def minted(site: Site) -> Operation:
    """An IOSpace minted from one that is not the master."""
    world = site.world
    root = world.own(bi.CAP_INIT_CNODE)
    words = [world.slot(), 64, site.space - world.offset, 64, 15, DOMAIN << 16 | DEVICE]
    return Operation("CNode_Mint", root, words, [root])


def full(site: Site) -> Operation:
    return site.map_new_table()


SCENARIOS: dict[str, tuple[Callable[[], tuple[Site, Operation]], str, str]] = {
    "no table at all": (at(0, lambda s: s.map_frame(s.frame())), "FailedLookup", "unmapped table"),
    "a table is missing": (at(2, lambda s: s.map_frame(s.frame())), "FailedLookup", "unmapped table"),
    "the address is taken": (occupied, "DeleteFirst", "mapping exists"),
    "the frame is mapped": (mapped_already, "InvalidCapability", "object state"),
    "the frame is large": (at(io.IO_LEVELS, lambda s: s.map_frame(s.frame(obj.MEGA_PAGE))), "InvalidCapability", "cap"),
    "all tables are there": (at(io.IO_LEVELS, full), "DeleteFirst", "mapping exists"),
    "no rights are left": (at(io.IO_LEVELS, lambda s: s.map_frame(s.frame(), 0)), "InvalidArgument", "argument"),
    "the master for a frame": (
        at(io.IO_LEVELS, lambda s: s.map_frame(s.frame(), 3, master(s))), "InvalidCapability", "cap"),
    "the master for a table": (at(1, lambda s: s.map_new_table(None, master(s))), "InvalidCapability", "cap"),
    "no IOSpace": (at(io.IO_LEVELS, lambda s: s.map_frame(s.frame(), 3, s.frame())), "InvalidCapability", "cap"),
    "the table is mapped": (table_mapped_already, "InvalidCapability", "object state"),
    "a frame without words": (
        at(io.IO_LEVELS, lambda s: Operation("Page_MapIO", s.frame(), [], [], 0, 0)), "TruncatedMessage", "message"),
    "a table without words": (
        at(0, lambda s: Operation("IOPageTable_Map", s.world.own(s.world.new(io.OBJECT_IO_PAGE_TABLE)), [], [], 0, 0)),
        "TruncatedMessage", "message"),
    "a TCB is no table": (at(1, lambda s: s.map_new_table(s.frame(obj.TCB))), "IllegalOperation", "cap"),
    "an empty slot": (at(1, lambda s: s.map_new_table(s.world.own(s.world.slot()))), "InvalidCapability", "cap"),
    "a second device from one": (at(0, minted), "IllegalOperation", "cap"),
    "a copy of an unmapped table": (at(0, copied), "IllegalOperation", "object state"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_missing_helps_when_given(name: str) -> None:
    build, refusal, kind = SCENARIOS[name]
    site, operation = build()
    explainer = Explainer(site.world.loop)
    gifts: Any = settle(site.world, explainer, operation, kind=DeviceGiver)
    first = explainer.explanations[0]
    assert (first.refusal, first.missing.kind) == (refusal, kind), first.text()
    assert gifts >= 1
