"""A device reaches by DMA just what a cap to its IOSpace has mapped, and nothing once that is gone."""

from collections.abc import Callable

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import errors as err
from capkernel.abi import iospace as io
from capkernel.abi import objects as obj
from capkernel.kernel.objects import NULL
from hwmodel.dma import CONTROL, DESTINATION, DONE, ERROR, LENGTH, SOURCE, START, STATUS, transfer_ticks
from specs.invariants import check_all
from tests.kernel.rootcalls import CNODE, Root

DEVICE, OTHER = 0x0018, 0x0020
DOMAIN = 5
DMA = 0x1010_0000
FROM, TO = 0x5000, 0x7000


class Device:
    """The board's DMA engine with an IOSpace, tables, and two pages mapped for it."""

    def __init__(self, device: int = DEVICE) -> None:
        self.root = Root("virt_iommu")
        self.space, error = self.root.mint(bi.CAP_IO_SPACE, DOMAIN << 16 | device)
        assert error == 0
        self.tables = [self._table() for _ in range(io.IO_LEVELS)]
        self.source, self.source_paddr = self.root.frame()
        self.target, self.target_paddr = self.root.frame()
        self.map(self.source, FROM, 2)
        self.map(self.target, TO, 3)

    def _table(self) -> int:
        table = self.root.make(io.OBJECT_IO_PAGE_TABLE)
        self.root.do(table, "IOPageTable_Map", FROM, caps=(self.space,))
        return table

    def map(self, frame: int, ioaddr: int, rights: int) -> None:
        self.root.do(frame, "Page_MapIO", rights, ioaddr, caps=(self.space,))

    def copies(self, source: int = FROM, target: int = TO) -> bool:
        """Whether the engine copies a word from one I/O address to the other."""
        machine = self.root.machine
        machine.write_word(self.source_paddr, 0xFEED)
        machine.write_word(self.target_paddr, 0)
        for register, value in ((STATUS, DONE | ERROR), (SOURCE, source), (DESTINATION, target), (LENGTH, 8)):
            machine.bus.write(DMA + register, 8, value)
        machine.bus.write(DMA + CONTROL, 8, START)
        machine.advance(transfer_ticks(8))
        status = machine.bus.read(DMA + STATUS, 8)
        assert status & DONE
        return not status & ERROR and machine.read_word(self.target_paddr) == 0xFEED


def test_a_mapped_page_is_reached_and_a_read_only_one_is_not_written() -> None:
    device = Device()
    assert device.copies()
    assert not device.copies(TO, FROM)
    assert not device.copies(FROM, 0x9000)


@pytest.mark.parametrize(
    "take_away",
    [
        lambda d: d.root.do(d.source, "Page_Unmap"),
        lambda d: d.root.do(CNODE, "CNode_Delete", d.source, 64),
        lambda d: d.root.do(d.tables[0], "IOPageTable_Unmap"),
        lambda d: d.root.do(d.tables[2], "IOPageTable_Unmap"),
        lambda d: d.root.do(CNODE, "CNode_Delete", d.tables[1], 64),
        lambda d: d.root.do(CNODE, "CNode_Delete", d.space, 64),
        lambda d: d.root.do(CNODE, "CNode_Revoke", bi.CAP_IO_SPACE, 64),
        lambda d: d.root.do(CNODE, "CNode_Revoke", d.root.untyped, 64),
    ],
    ids=["unmap", "delete frame", "unmap root table", "unmap leaf table", "delete middle table", "delete space",
         "revoke the master", "revoke the untyped"],
)  # fmt: skip
def test_nothing_is_reached_any_more_after(take_away: Callable[[Device], object]) -> None:
    device = Device()
    assert device.copies()
    take_away(device)
    assert not device.copies()


@pytest.mark.parametrize("level", range(io.IO_LEVELS))
def test_a_table_that_was_in_another_devices_tree_shows_nothing_of_it(level: int) -> None:
    """Whoever holds tables of two devices would otherwise let the one reach what was mapped for the other."""
    device = Device(OTHER)
    root = device.root
    mine, error = root.mint(bi.CAP_IO_SPACE, DOMAIN + 1 << 16 | DEVICE)
    assert error == 0
    for table in [*(root.make(io.OBJECT_IO_PAGE_TABLE) for _ in range(level)), device.tables[level]]:
        if table == device.tables[level]:
            root.do(table, "IOPageTable_Unmap")
        root.do(table, "IOPageTable_Map", FROM, caps=(mine,))
    assert not device.copies()
    assert check_all(root.state, root.machine) == []


def test_arguments_are_checked_as_in_the_x86_interface() -> None:
    device = Device()
    root, master = device.root, bi.CAP_IO_SPACE
    frame, _ = root.frame()
    table = root.make(io.OBJECT_IO_PAGE_TABLE)
    mega = root.make(obj.MEGA_PAGE)
    assert root.call(table, "IOPageTable_Map", caps=(device.space,)) == (err.TRUNCATED_MESSAGE, [])
    assert root.call(table, "IOPageTable_Map", FROM) == (err.TRUNCATED_MESSAGE, [])
    assert root.call(table, "IOPageTable_Map", FROM, caps=(master,)) == (err.INVALID_CAPABILITY, [0])
    assert root.call(table, "IOPageTable_Map", FROM, caps=(frame,)) == (err.INVALID_CAPABILITY, [0])
    assert root.call(table, "IOPageTable_Map", FROM, caps=(device.space,)) == (err.DELETE_FIRST, [])
    assert root.call(device.tables[0], "IOPageTable_Map", FROM, caps=(device.space,)) == (err.INVALID_CAPABILITY, [0])
    assert root.call(frame, "Page_MapIO", 3, caps=(device.space,)) == (err.TRUNCATED_MESSAGE, [])
    assert root.call(frame, "Page_MapIO", 3, 0x9000) == (err.TRUNCATED_MESSAGE, [])
    assert root.call(mega, "Page_MapIO", 3, 0, caps=(device.space,)) == (err.INVALID_CAPABILITY, [0])
    assert root.call(device.source, "Page_MapIO", 3, 0x9000, caps=(device.space,)) == (err.INVALID_CAPABILITY, [0])
    assert root.call(frame, "Page_MapIO", 3, FROM, caps=(device.space,)) == (err.DELETE_FIRST, [])
    assert root.call(frame, "Page_MapIO", 0, 0x9000, caps=(device.space,)) == (err.INVALID_ARGUMENT, [0])
    assert root.call(frame, "Page_MapIO", 3, 1 << 34, caps=(device.space,))[0] == err.FAILED_LOOKUP
    assert root.call(device.space, "IOPageTable_Unmap") == (err.ILLEGAL_OPERATION, [])
    assert root.mint(device.space, DOMAIN << 16 | 0x20)[1] == err.ILLEGAL_OPERATION
    assert root.mint(master, 0x20)[1] == err.ILLEGAL_OPERATION


def test_a_frame_mapped_for_a_device_is_not_mapped_for_a_program_by_the_same_cap() -> None:
    device = Device()
    vspace = (bi.CAP_INIT_VSPACE,)
    assert device.root.call(device.source, "Page_Map", 0x11000, 3, 0, caps=vspace)[0] != 0


def test_without_an_iommu_the_kernel_knows_none_of_it() -> None:
    root = Root()
    frame, _ = root.frame()
    words = (io.OBJECT_IO_PAGE_TABLE, 0, 0, 0, root.slot(), 1)
    assert root.call(root.untyped, "Untyped_Retype", *words, caps=(CNODE,)) == (err.INVALID_ARGUMENT, [0])
    assert root.call(frame, "Page_MapIO", 3, 0, caps=(frame,)) == (err.ILLEGAL_OPERATION, [])
    assert root.call(bi.CAP_IO_SPACE, "IOPageTable_Unmap") == (err.INVALID_CAPABILITY, [0])
    assert root.info.num_io_pt_levels == 0


def test_a_second_mint_for_one_device_does_not_beget_the_first() -> None:
    """Both come from the master: to revoke what came of one leaves the other."""
    device = Device()
    again, error = device.root.mint(bi.CAP_IO_SPACE, DOMAIN << 16 | DEVICE)
    assert error == 0
    device.root.do(CNODE, "CNode_Revoke", again, 64)
    assert device.root.cap(device.space) is not NULL
    device.root.do(CNODE, "CNode_Revoke", bi.CAP_IO_SPACE, 64)
    assert not device.copies()
    assert device.root.cap(device.space) is device.root.cap(again) is NULL


def test_the_iommu_is_told_of_every_change_and_of_whose_it_is() -> None:
    device = Device()
    root = device.root
    told: list[tuple[object, ...]] = []
    machine = root.machine
    setting, forgetting = machine.iommu_set_context, machine.iommu_invalidate

    def set_context(request: int, domain: int, table: int | None, levels: int) -> None:
        told.append(("set", request, domain, table is not None, levels))
        setting(request, domain, table, levels)

    def invalidate(domain: int) -> None:
        told.append(("forget", domain))
        forgetting(domain)

    root.state.machine.iommu_set_context, root.state.machine.iommu_invalidate = set_context, invalidate
    forget, levels = ("forget", DOMAIN), io.IO_LEVELS
    changes: list[tuple[Callable[[], object], list[tuple[object, ...]]]] = [
        (lambda: root.do(device.source, "Page_Unmap"), [forget]),
        (lambda: device.map(device.source, FROM, 2), [forget]),
        (lambda: root.do(device.tables[2], "IOPageTable_Unmap"), [forget]),
        (lambda: root.do(device.tables[2], "IOPageTable_Map", FROM, caps=(device.space,)), [forget]),
        (lambda: root.do(device.tables[0], "IOPageTable_Unmap"), [("set", DEVICE, DOMAIN, False, levels), forget]),
        (lambda: root.do(device.tables[0], "IOPageTable_Unmap"), []),
        (
            lambda: root.do(device.tables[0], "IOPageTable_Map", FROM, caps=(device.space,)),
            [("set", DEVICE, DOMAIN, True, levels), forget],
        ),
        (
            lambda: root.do(CNODE, "CNode_Delete", device.space, 64),
            [("set", DEVICE, DOMAIN, False, levels), forget],
        ),
    ]
    for change, expected in changes:
        told.clear()
        change()
        assert told == expected
    bare, _ = root.mint(bi.CAP_IO_SPACE, DOMAIN + 1 << 16 | OTHER)
    told.clear()
    root.do(CNODE, "CNode_Delete", bare, 64)
    assert told == [], "a device that has no tables loses none"
    assert not device.copies()


def test_a_table_is_copied_only_where_it_is_in_a_tree() -> None:
    device = Device()
    root, fresh = device.root, device.root.make(io.OBJECT_IO_PAGE_TABLE)
    copy = CNODE, "CNode_Copy", root.slot(), 64
    assert root.call(*copy, fresh, 64, 15, caps=(CNODE,)) == (err.ILLEGAL_OPERATION, [])
    assert root.call(*copy, device.tables[1], 64, 15, caps=(CNODE,)) == (err.NO_ERROR, [])
