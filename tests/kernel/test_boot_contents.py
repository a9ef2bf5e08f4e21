"""All that booting leaves behind: every cap, every page, every byte of memory accounted for, every variable."""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.kernel import boot as booting_module
from capkernel.kernel import objects as ko
from capkernel.kernel.boot import RootImage, boot, cut_region
from capkernel.kernel.caps import (
    ASIDControlCap,
    ASIDPoolCap,
    CNodeCap,
    DomainCap,
    FrameCap,
    IOSpaceCap,
    IRQControlCap,
    PageTableCap,
    SchedContextCap,
    SchedControlCap,
    ThreadCap,
    UntypedCap,
)
from capkernel.kernel.config import KernelConfig
from capkernel.kernel.objects import NULL, RUNNING
from capkernel.kernel.state import IRQ_INACTIVE, IRQ_TIMER, RESUME_CURRENT, State
from capkernel.runtime.platform import PRESETS, configure
from hwmodel.board import MIB, find_board
from hwmodel.machine import Machine
from hwmodel.sv39 import PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X

PAGE, MEGA = 1 << 12, 1 << 21
ALL_MAPPED = PTE_V | PTE_R | PTE_W | PTE_X | PTE_U | PTE_A | PTE_D
READ_WRITE = 3
NOW = 12_345
FDT = b"\xd0\x0d\xfe\xed" + bytes(range(256)) * 17
"""16 + 4,356 bytes of extra boot information: two pages."""
ACROSS = RootImage(0x3FF123, ((0x3FF010, b"code", 0x800), (0x401000, b"data", 0x1001)))
"""An image of pages 0x3FF to 0x402, in the reach of two page tables, with a hole and an end that is not whole."""

BELOW = RootImage(0x3FD000, ((0x3FD000, b"code", 0x1000),))
"""An image of which only the extra boot information is in the reach of a second page table."""


@dataclass
class Booted:
    """A machine, what the kernel told it, and the state that it booted into."""

    config: KernelConfig
    machine: Machine
    state: State
    said: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def info(self) -> bi.BootInfo:
        frame = self.slot(bi.CAP_BOOTINFO_FRAME).cap
        assert isinstance(frame, FrameCap)
        return bi.BootInfo.decode(self.machine.read_bytes(frame.paddr, bi.BOOTINFO_SIZE))

    @property
    def cnode(self) -> ko.CNode:
        cap = self.state.initial.cspace_slot.cap
        assert isinstance(cap, CNodeCap)
        return cap.cnode

    def slot(self, index: int) -> ko.Slot:
        return self.cnode.slot(index)


def _boot(board: str, image: RootImage | None, fdt: bytes, **settings: Any) -> Booted:
    machine = Machine(find_board(board).with_ram(256 * MIB))
    machine.advance(NOW)
    config = replace(configure(PRESETS["demo"], machine.board), **settings)
    said: list[tuple[Any, ...]] = []
    told: Any = machine
    for name in ("mask_irq", "set_deadline", "set_vspace"):
        _listen(told, name, said)
    return Booted(config, machine, boot(config, machine, image, fdt), said)


def _listen(machine: Any, name: str, said: list[tuple[Any, ...]]) -> None:
    operation = getattr(machine, name)

    def noted(*words: Any) -> Any:
        said.append((name, *words))
        return operation(*words)

    setattr(machine, name, noted)


@pytest.fixture(params=[
    "plain", "with an IOMMU, a device tree and a larger image", "with a byte more than a page", "with a whole page",
])  # fmt: skip
def booted(request: pytest.FixtureRequest) -> Booted:
    """Machines that have been booted."""
    if request.param == "plain":
        return _boot("qemu_virt_riscv64", None, b"", num_domains=1, root_cnode_bits=12)
    if request.param.endswith("image"):
        return _boot("virt_iommu", ACROSS, FDT, root_cnode_bits=10)
    extra = PAGE + 1 if request.param.startswith("with a byte") else PAGE
    return _boot("qemu_virt_riscv64", BELOW, FDT[: extra - 16], num_domains=1, root_cnode_bits=12)


def _image(booted: Booted) -> tuple[int, int, int]:
    """The image's first address, its end, and how many pages of extra boot information follow."""
    images = {
        0: (0x10000, 0x11000, 0),
        PAGE: (0x3FD000, 0x3FE000, 1),
        PAGE + 1: (0x3FD000, 0x3FE000, 2),
        16 + len(FDT): (0x3FF000, 0x403000, 2),
    }
    return images[booted.info.extra_len]


def _fields(cap: Any) -> tuple[Any, ...]:
    """A cap as its class and fields, objects by address."""
    names = [name for kind in type(cap).__mro__ for name in getattr(kind, "__slots__", ())]
    values = {name: getattr(cap, name) for name in names}
    return type(cap), {name: getattr(value, "paddr", value) for name, value in values.items()}


def _same(found: Any, wanted: Any) -> bool:
    return bool(_fields(found) == _fields(wanted))


def test_every_initial_cap_is_what_it_must_be_and_derived_from_nothing(booted: Booted) -> None:
    start, end, extra = _image(booted)
    config, info, state = booted.config, booted.info, booted.state
    thread, bits = state.initial, config.root_cnode_bits
    vspace = thread.vspace_slot.cap
    assert isinstance(vspace, PageTableCap)
    pool = state.asid_table[0]
    assert thread.sched_context is not None
    wanted: dict[int, Any] = {
        bi.CAP_INIT_TCB: ThreadCap(thread),
        bi.CAP_INIT_CNODE: CNodeCap(booted.cnode, bits, 0, 64 - bits),
        bi.CAP_INIT_VSPACE: PageTableCap(vspace.paddr, True, 1, 0),
        bi.CAP_IRQ_CONTROL: IRQControlCap(), bi.CAP_ASID_CONTROL: ASIDControlCap(), bi.CAP_DOMAIN: DomainCap(),
        bi.CAP_INIT_ASID_POOL: ASIDPoolCap(pool, 0),
        bi.CAP_INIT_SCHED_CONTEXT: SchedContextCap(thread.sched_context, obj.MIN_SCHED_CONTEXT_BITS),
    }  # fmt: skip
    if config.has_iommu:
        wanted[bi.CAP_IO_SPACE] = IOSpaceCap(0, 0)
    for index in (bi.CAP_INIT_IPC_BUFFER, bi.CAP_BOOTINFO_FRAME):
        frame = booted.slot(index).cap
        assert isinstance(frame, FrameCap)
        vaddr = end + PAGE * (index == bi.CAP_BOOTINFO_FRAME)
        wanted[index] = FrameCap(frame.paddr, 12, READ_WRITE, False, 1, vaddr)
    for index in range(bi.NUM_INITIAL_CAPS):
        found = booted.slot(index)
        assert _same(found.cap, wanted.get(index, NULL)), index
        if index in wanted:
            assert found.revocable
            assert found.first_badged
            assert found.prev is None
    for number, index in enumerate(range(*info.extra_bootinfo_pages)):
        frame = booted.slot(index).cap
        assert isinstance(frame, FrameCap)
        assert _same(frame, FrameCap(frame.paddr, 12, READ_WRITE, False, 1, end + PAGE * (2 + number)))
    assert info.extra_bootinfo_pages[1] - info.extra_bootinfo_pages[0] == extra
    image = -(-config.kernel_image[1] // PAGE) * PAGE
    found_pages = [booted.slot(index).cap for index in range(*info.user_image_frames)]
    assert len(found_pages) == (end - start) // PAGE
    for number, cap in enumerate(found_pages):
        assert _same(cap, FrameCap(image + PAGE * number, 12, READ_WRITE, False, 1, start + PAGE * number))
    assert [_same(booted.slot(index).cap, SchedControlCap(0)) for index in range(*info.sched_control)] == [True]
    assert all(booted.slot(index).cap is NULL for index in range(*info.empty))
    assert info.empty[1] == 1 << bits


def test_page_tables_are_provided_upper_ones_first(booted: Booted) -> None:
    start, end, extra = _image(booted)
    vaddrs = [0, *range(start // MEGA * MEGA, end + (2 + extra) * PAGE, MEGA)]
    tables = [booted.slot(index).cap for index in range(*booted.info.user_image_paging)]
    for cap, vaddr in zip(tables, vaddrs, strict=True):
        assert isinstance(cap, PageTableCap)
        assert _same(cap, PageTableCap(cap.paddr, True, 1, vaddr))


def test_where_a_table_s_reach_ends_there_is_none_behind() -> None:
    booted = _boot("qemu_virt_riscv64", BELOW, b"")
    tables = [booted.slot(index).cap for index in range(*booted.info.user_image_paging)]
    assert [cap.vaddr for cap in tables if isinstance(cap, PageTableCap)] == [0, 0x200000]


def _walked(booted: Booted) -> dict[int, tuple[int, int]]:
    """Page → (frame, flags) for all that is mapped in the initial address space, found in memory."""
    read = booted.machine.read_word
    root = booted.state.asid_table[0].roots[1]
    found = {}
    for top in range(512):
        for middle in range(512) if (word := read(root + 8 * top)) else ():
            assert word & (PTE_V | PTE_R | PTE_W | PTE_X) == PTE_V
            for low in range(512) if (entry := read((word >> 10 << 12) + 8 * middle)) else ():
                leaf = read((entry >> 10 << 12) + 8 * low)
                if leaf:
                    found[top << 30 | middle << 21 | low << 12] = leaf >> 10 << 12, leaf & 0x3FF
    return found


def test_exactly_image_buffer_bootinfo_and_extra_pages_are_mapped_each_to_the_frame_of_its_cap(booted: Booted) -> None:
    start, end, extra = _image(booted)
    info = booted.info
    indices = [*range(*info.user_image_frames), bi.CAP_INIT_IPC_BUFFER, bi.CAP_BOOTINFO_FRAME]
    indices += range(*info.extra_bootinfo_pages)
    caps = [booted.slot(index).cap for index in indices]
    frames = [cap.paddr for cap in caps if isinstance(cap, FrameCap)]
    pages = range(start, end + PAGE * (2 + extra), PAGE)
    walked = _walked(booted)
    assert walked == {page: (frame, ALL_MAPPED) for page, frame in zip(pages, frames, strict=True)}


def test_the_image_is_loaded_and_the_extra_boot_information_says_what_it_is() -> None:
    booted = _boot("virt_iommu", ACROSS, FDT, root_cnode_bits=10)
    pages = _walked(booted)
    code, data, extra = (pages[page][0] for page in (0x3FF000, 0x401000, 0x405000))
    assert booted.machine.read_bytes(code, 0x20) == bytes(16) + b"code" + bytes(12)
    assert booted.machine.read_bytes(data, 8) == b"data" + bytes(4)
    chunk = (6).to_bytes(8, "little") + (16 + len(FDT)).to_bytes(8, "little") + FDT
    assert booted.machine.read_bytes(extra, len(chunk)) == chunk
    assert booted.info.extra_len == len(chunk)
    assert booted.info.num_io_pt_levels > 0


@pytest.mark.parametrize(("length", "pages"), [(1, 1), (4096 - 16, 1), (4096 - 15, 2), (3 * 4096 - 16, 3)])
def test_extra_boot_information_takes_whole_pages(length: int, pages: int) -> None:
    booted = _boot("qemu_virt_riscv64", None, bytes([7]) * length)
    info = booted.info
    assert info.extra_bootinfo_pages[1] - info.extra_bootinfo_pages[0] == pages
    assert info.extra_len == length + 16
    assert booted.machine.read_bytes(_walked(booted)[0x13000][0] + 16, length) == bytes([7]) * length


def test_the_bootinfo_frame_says_where_things_are(booted: Booted) -> None:
    _, end, extra = _image(booted)
    info = booted.info
    assert info.ipc_buffer == end
    assert info.cnode_size_bits == booted.config.root_cnode_bits
    assert -(-info.extra_len // PAGE) == extra
    assert (info.shared_frames, info.io_space_caps, info.domain) == ((0, 0), (0, 0), 0)
    assert bool(info.num_io_pt_levels) is booted.config.has_iommu


def _objects(booted: Booted) -> list[tuple[int, int]]:
    """Where the initial thread's objects lie, as (start, end)."""
    state, config, info = booted.state, booted.config, booted.info
    thread = state.initial
    assert thread.sched_context is not None
    pages = [state.asid_table[0].paddr, state.asid_table[0].roots[1]]
    for index in [bi.CAP_INIT_IPC_BUFFER, bi.CAP_BOOTINFO_FRAME, *range(*info.user_image_paging)]:
        cap = booted.slot(index).cap
        assert isinstance(cap, FrameCap | PageTableCap)
        pages.append(cap.paddr)
    extra = [booted.slot(index).cap for index in range(*info.extra_bootinfo_pages)]
    pages += [cap.paddr for cap in extra if isinstance(cap, FrameCap)]
    spans = [(page, page + PAGE) for page in pages]
    spans.append((booted.cnode.paddr, booted.cnode.paddr + (32 << config.root_cnode_bits)))
    spans.append((thread.paddr, thread.paddr + (1 << obj.TCB_BITS)))
    context = thread.sched_context.paddr
    spans.append((context, context + (1 << obj.MIN_SCHED_CONTEXT_BITS)))
    return sorted(spans)


def test_the_initial_objects_lie_aligned_side_by_side_at_the_end_of_ram(booted: Booted) -> None:
    spans = _objects(booted)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    assert all(start % (end - start) == 0 for start, end in spans)
    largest = max(end - start for start, end in spans)
    top = booted.config.ram[-1][1]
    assert top - largest < spans[-1][1] <= top
    sizes = [end - start for start, end in spans]
    assert sizes == sorted(sizes, reverse=True)


def _kept(booted: Booted) -> list[tuple[int, int]]:
    start, end, _ = _image(booted)
    first, last = booted.config.kernel_image
    spans = _objects(booted)
    image = -(-last // PAGE) * PAGE
    return [(first, image + end - start), (spans[0][0], spans[-1][1])]


def _cut(start: int, end: int) -> list[tuple[int, int]]:
    """The fewest aligned powers of two from 2**4 to 2**38 bytes, each as large as it can be where it is."""
    pieces = []
    while end - start >= 16:
        bits = max(bits for bits in range(39) if start % (1 << bits) == 0 and start + (1 << bits) <= end)
        if bits >= 4:
            pieces.append((start, bits))
        start += 1 << bits
    return pieces


def _without(start: int, end: int, holes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of a span, ascending."""
    left = []
    for first, last in sorted(holes):
        if start < first:
            left.append((start, min(first, end)))
        start = max(start, last)
    return [*left, (start, end)] if start < end else left


def test_untypeds_are_all_device_windows_and_then_all_of_ram_that_is_left(booted: Booted) -> None:
    config = booted.config
    (ram,) = config.ram
    device = _without(0, config.device_top, [ram, *config.reserved])
    normal = _without(*ram, _kept(booted))
    wanted = [(*piece, True) for region in device for piece in _cut(*region)]
    wanted += [(*piece, False) for region in normal for piece in _cut(*region)]
    info = booted.info
    assert [(u.paddr, u.size_bits, u.is_device) for u in info.untyped_list] == wanted
    for index, (paddr, bits, is_device) in zip(range(*info.untyped), wanted, strict=True):
        assert _same(booted.slot(index).cap, UntypedCap(paddr, bits, is_device, 1 << bits))


@pytest.mark.parametrize("span", [(0, 16), (0, 15), (8, 64), (0, 1 << 39), (0x1000, 0x1000), (24, 31), (0xFF0, 0x3050)])
def test_a_region_is_cut_into_the_largest_pieces(span: tuple[int, int]) -> None:
    assert cut_region(*span) == _cut(*span)


def test_no_more_untypeds_than_the_bootinfo_frame_can_list() -> None:
    windows = tuple((n << 13, (n << 13) + PAGE) for n in range(1, 400))
    booted = _boot("qemu_virt_riscv64", None, b"", reserved=windows, device_top=0x1000_0000)
    assert len(booted.info.untyped_list) == bi.MAX_UNTYPEDS == 230
    assert booted.info.untyped[1] - booted.info.untyped[0] == 230


def test_more_caps_than_the_root_cnode_has_slots_are_a_bug_of_the_configuration() -> None:
    with pytest.raises(ko.KernelBug, match="2\\*\\*4 slots"):
        _boot("qemu_virt_riscv64", None, b"", root_cnode_bits=4)


def test_the_root_cnode_may_be_filled_to_its_last_slot() -> None:
    machine = Machine(find_board("qemu_virt_riscv64").with_ram(256 * MIB))
    config = replace(configure(PRESETS["demo"], machine.board), root_cnode_bits=8)
    booting, _ = booting_module._lay_out(State(config, machine), RootImage(), b"")
    room = 256 - booting.next_slot
    assert booting.provide([DomainCap() for _ in range(room)]) == (256 - room, 256)
    with pytest.raises(ko.KernelBug, match="2\\*\\*8 slots"):
        booting.provide([DomainCap()])


def test_the_image_may_fill_what_is_left_of_ram_but_no_page_more() -> None:
    small = {"ram": ((0x80200000, 0x84060000),), "root_cnode_bits": 10}
    room = _objects(_boot("qemu_virt_riscv64", None, b"", **small))[0][0] - 0x84030000
    assert 0 < room < MEGA - 0x10000
    full = _boot("qemu_virt_riscv64", RootImage(0x10000, ((0x10000, b"", room),)), b"", **small)
    assert not [u for u in full.info.untyped_list if 0x84000000 <= u.paddr < _objects(full)[0][0]]
    size = f"image of {room + PAGE:#x} bytes does not fit into RAM"
    with pytest.raises(ValueError, match=size):
        _boot("qemu_virt_riscv64", RootImage(0x10000, ((0x10000, b"", room + 1),)), b"", **small)


def test_the_initial_thread_is_ready_to_run_with_copies_of_its_caps(booted: Booted) -> None:
    start, end, _ = _image(booted)
    state = booted.state
    thread = state.current
    assert thread is state.initial
    assert thread.state is RUNNING
    assert (thread.name, thread.priority, thread.mcp, thread.domain, thread.queued) == ("rootserver", 255, 255, 0, 0)
    assert (thread.ipc_buffer, thread.registers[reg.A0]) == (end, end + PAGE)
    entry = ACROSS.entry if booted.config.has_iommu else start
    assert thread.registers[reg.FAULT_IP] == thread.registers[reg.NEXT_IP] == entry
    for index, slot in (
        (bi.CAP_INIT_CNODE, thread.cspace_slot), (bi.CAP_INIT_VSPACE, thread.vspace_slot),
        (bi.CAP_INIT_IPC_BUFFER, thread.buffer_slot),
    ):  # fmt: skip
        source = booted.slot(index)
        assert source.next is slot
        assert slot.prev is source
        if index == bi.CAP_INIT_IPC_BUFFER:
            assert isinstance(source.cap, FrameCap)
            assert _same(slot.cap, FrameCap(source.cap.paddr, 12, READ_WRITE, False))
        else:
            assert _same(slot.cap, source.cap)
    assert thread.fault_slot.cap is NULL
    assert thread.timeout_slot.cap is NULL


def test_the_kernel_s_time_and_interrupts_begin_as_the_configuration_says(booted: Booted) -> None:
    config, state = booted.config, booted.state
    thread, context = state.initial, state.initial.sched_context
    assert context is not None
    assert state.current_sc is context
    assert context.tcb is thread
    slice_ticks = config.boot_time_slice_us * config.ticks_per_us
    assert [(r.time, r.amount) for r in context.refills] == [(NOW, slice_ticks), (NOW, 0)]
    assert (context.period, context.refill_max, context.sporadic, context.badge) == (0, 2, False, 0)
    idle = config.max_period_us * config.ticks_per_us
    assert [(r.time, r.amount) for r in state.idle_sc.refills] == [(NOW, idle), (NOW, 0)]
    assert (state.idle_sc.period, state.idle_sc.refill_max) == (0, 2)
    assert (state.time, state.consumed, state.action, state.candidate) == (NOW, 0, RESUME_CURRENT, None)
    assert not state.reprogram
    assert state.domain == state.domain_index == state.domain_start == 0
    states = [IRQ_INACTIVE] * (config.max_irq + 1) + [IRQ_TIMER]
    assert state.irq_states == states
    masks = [("mask_irq", irq, True) for irq in range(1, config.max_irq + 1)]
    assert [words for words in booted.said if words[0] == "mask_irq"] == [*masks, ("mask_irq", config.timer_irq, False)]
    early = config.timer_precision_us * config.ticks_per_us
    assert [words for words in booted.said if words[0] == "set_deadline"] == [
        ("set_deadline", NOW + slice_ticks - early)
    ]  # fmt: skip
    assert ("set_vspace", state.asid_table[0].roots[1], 1) in booted.said
    assert state.asid_table.keys() == {0}
    assert state.asid_table[0].base == 0
    assert state.asid_table[0].roots.keys() == {1}
