"""Booting: from a machine and a root task image to a running initial thread (manual, chapter 9).

The initial thread gets caps to everything that is left: its own objects, and untypeds for all memory. Its image,
IPC buffer and boot information are mapped one after the other, readable, writable and executable.
"""

from dataclasses import dataclass

from capkernel.abi import bootinfo as bi
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi.iospace import IO_LEVELS
from capkernel.abi.words import BIT, WORD_BITS, align_down, align_up
from capkernel.kernel import refills, slots, vspace
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
from capkernel.kernel.config import KernelConfig, Region
from capkernel.kernel.interrupts import set_irq_state
from capkernel.kernel.machine import Machine
from capkernel.kernel.objects import RUNNING, TCB, ASIDPool, Cap, CNode, KernelBug, SchedContext
from capkernel.kernel.scheduler import schedule
from capkernel.kernel.state import IRQ_TIMER, SWITCH_TO, State
from capkernel.kernel.thread import activate

ROOT_ASID = 1
ROOT_PRIORITY = 255


@dataclass(frozen=True)
class RootImage:
    """The root task as it lies in memory: entry point, and (virtual address, bytes, size in memory) segments."""

    entry: int = 0x10000
    segments: tuple[tuple[int, bytes, int], ...] = ((0x10000, b"", obj.PAGE_BYTES),)

    @property
    def span(self) -> Region:
        """The whole pages from the lowest to the highest address."""
        start = min(vaddr for vaddr, _, _ in self.segments)
        end = max(vaddr + size for vaddr, _, size in self.segments)
        return align_down(start, obj.PAGE_BITS), align_up(end, obj.PAGE_BITS)


@dataclass
class _Boot:
    """What is known while booting. Physical addresses are bytes; ``next_slot`` is the first free slot."""

    state: State
    image: RootImage
    extra: bytes
    info: bi.BootInfo
    cnode: CNode
    tcb: TCB
    sched_context: SchedContext
    image_paddr: int
    objects: dict[str, int]
    tables: list[int]
    next_slot: int = bi.NUM_INITIAL_CAPS

    def write(self, index: int, cap: Cap) -> None:
        slots.insert_root(cap, self.cnode.slot(index))

    def provide(self, caps: list[Cap]) -> bi.SlotRegion:
        """Put caps into the next free slots."""
        start = self.next_slot
        for cap in caps:
            if self.next_slot >= BIT[self.cnode.radix]:
                raise KernelBug(f"more initial caps than the root CNode's 2**{self.cnode.radix} slots")
            self.write(self.next_slot, cap)
            self.next_slot += 1
        return start, self.next_slot


def boot(config: KernelConfig, machine: Machine, image: RootImage | None = None, fdt: bytes = b"") -> State:
    """Set up the kernel and its initial thread, and choose that to run.

    ``fdt`` is a device tree to pass on as extra boot information. Raises ValueError if the image does not fit.
    """
    state = State(config, machine)
    state.time = machine.now()
    refills.configure(state, state.idle_sc, refills.MIN_REFILLS, config.max_period_us * config.ticks_per_us, 0)
    for irq in range(1, config.max_irq + 1):
        machine.mask_irq(irq, True)
    set_irq_state(state, config.timer_irq, IRQ_TIMER)
    b, free = _lay_out(state, image or RootImage(), _extra_bootinfo(fdt))
    _create_initial_caps(b)
    _create_untypeds(b, free)
    b.info.empty = (b.next_slot, BIT[config.root_cnode_bits])
    machine.write_bytes(b.objects["bootinfo"], b.info.encode())
    _create_initial_thread(b)
    state.action, state.candidate = SWITCH_TO, b.tcb
    schedule(state)
    activate(state)
    return state


def _extra_bootinfo(fdt: bytes) -> bytes:
    if not fdt:
        return b""
    size = len(fdt) + bi.CHUNK_HEADER_BYTES
    return bi.FDT_CHUNK.to_bytes(8, "little") + size.to_bytes(8, "little") + fdt


def _lay_out(state: State, image: RootImage, extra: bytes) -> tuple[_Boot, list[Region]]:
    """Decide where everything lies: the image behind the kernel, the root task's objects at the end of RAM."""
    config = state.config
    start, end = image.span
    extra_bits = max(obj.PAGE_BITS, (len(extra) - 1).bit_length()) if extra else 0
    mapped_end = end + 2 * obj.PAGE_BYTES + (BIT[extra_bits] if extra else 0)
    tables = _tables_for(start, mapped_end)
    image_paddr = align_up(config.kernel_image[1], obj.PAGE_BITS)
    cnode_bits = config.root_cnode_bits + obj.SLOT_BITS
    wanted = [("cnode", cnode_bits), ("vspace", 12), ("asid_pool", 12), ("ipc_buffer", 12), ("bootinfo", 12)]
    wanted += [(f"paging{n}", 12) for n in range(len(tables))]
    wanted += [("tcb", obj.TCB_BITS), ("sched_context", obj.MIN_SCHED_CONTEXT_BITS)]
    if extra:
        wanted.append(("extra", extra_bits))
    wanted.sort(key=lambda item: -item[1])
    total = sum(BIT[bits] for _, bits in wanted)
    base = align_down(config.ram[-1][1] - total, wanted[0][1])
    if base < image_paddr + end - start:
        raise ValueError(f"the root task's image of {end - start:#x} bytes does not fit into RAM {config.ram}")
    objects, address = {}, base
    for name, bits in wanted:
        objects[name] = address
        address += BIT[bits]
    used = [(config.kernel_image[0], image_paddr + end - start), (base, address)]
    tcb, sc = TCB(objects["tcb"]), SchedContext(objects["sched_context"], obj.MIN_SCHED_CONTEXT_BITS)
    info = bi.BootInfo(extra_len=len(extra), ipc_buffer=end, cnode_size_bits=config.root_cnode_bits)
    cnode = CNode(objects["cnode"], config.root_cnode_bits)
    b = _Boot(state, image, extra, info, cnode, tcb, sc, image_paddr, objects, tables)
    for vaddr, data, _ in image.segments:
        state.machine.write_bytes(image_paddr + vaddr - start, data)
    return b, _subtract(list(config.ram), used)


def _tables_for(start: int, end: int) -> list[int]:
    """The first virtual addresses of the page tables that a span needs, upper ones first."""
    levels = (obj.GIGA_PAGE_BITS, obj.MEGA_PAGE_BITS)
    return [vaddr for bits in levels for vaddr in range(align_down(start, bits), end, BIT[bits])]


def _subtract(regions: list[Region], used: list[Region]) -> list[Region]:
    """What of ``regions`` is not ``used``; both ascending."""
    for first, last in used:
        regions = [
            part
            for start, end in regions
            for part in ((start, min(end, first)), (max(start, last), end))
            if part[0] < part[1]
        ]
    return regions


def _create_initial_caps(b: _Boot) -> None:
    config, start, end = b.state.config, *b.image.span
    root_guard = WORD_BITS - config.root_cnode_bits
    b.write(bi.CAP_INIT_CNODE, CNodeCap(b.cnode, config.root_cnode_bits, 0, root_guard))
    b.write(bi.CAP_DOMAIN, DomainCap())
    b.write(bi.CAP_IRQ_CONTROL, IRQControlCap())
    pool = ASIDPool(b.objects["asid_pool"], 0)
    pool.roots[ROOT_ASID] = b.objects["vspace"]
    b.state.asid_table[0] = pool
    b.write(bi.CAP_INIT_VSPACE, PageTableCap(b.objects["vspace"], True, ROOT_ASID, 0))
    b.write(bi.CAP_INIT_ASID_POOL, ASIDPoolCap(pool, 0))
    b.write(bi.CAP_ASID_CONTROL, ASIDControlCap())
    if config.has_iommu:
        b.write(bi.CAP_IO_SPACE, IOSpaceCap(0, 0))
        b.info.num_io_pt_levels = IO_LEVELS
    b.info.user_image_paging = b.provide(
        [_install_table(b, b.objects[f"paging{n}"], vaddr) for n, vaddr in enumerate(b.tables)]
    )
    b.write(bi.CAP_INIT_IPC_BUFFER, _map_frame(b, b.objects["ipc_buffer"], end))
    b.write(bi.CAP_BOOTINFO_FRAME, _map_frame(b, b.objects["bootinfo"], end + obj.PAGE_BYTES))
    if b.extra:
        b.state.machine.write_bytes(b.objects["extra"], b.extra)
        pages = range(0, align_up(len(b.extra), obj.PAGE_BITS), obj.PAGE_BYTES)
        frames: list[Cap] = [_map_frame(b, b.objects["extra"] + p, end + 2 * obj.PAGE_BYTES + p) for p in pages]
        b.info.extra_bootinfo_pages = b.provide(frames)
    b.info.sched_control = b.provide([SchedControlCap(0)])
    image: list[Cap] = [_map_frame(b, b.image_paddr + v - start, v) for v in range(start, end, obj.PAGE_BYTES)]
    b.info.user_image_frames = b.provide(image)


def _install_table(b: _Boot, paddr: int, vaddr: int) -> Cap:
    pt_slot, _ = vspace.lookup_pt_slot(b.state, b.objects["vspace"], vaddr)
    b.state.machine.write_word(pt_slot, vspace.table_pte(paddr))
    return PageTableCap(paddr, True, ROOT_ASID, vaddr)


def _map_frame(b: _Boot, paddr: int, vaddr: int) -> FrameCap:
    pt_slot, _ = vspace.lookup_pt_slot(b.state, b.objects["vspace"], vaddr)
    b.state.machine.write_word(pt_slot, vspace.user_pte(paddr, rt.READ_WRITE, executable=True))
    return FrameCap(paddr, obj.PAGE_BITS, rt.READ_WRITE, False, ROOT_ASID, vaddr)


def _create_untypeds(b: _Boot, free: list[Region]) -> None:
    """Device memory first, then RAM, each ascending. All start full: the first Retype clears them."""
    config = b.state.config
    kept = sorted([*config.ram, *config.reserved])
    regions = [(r, True) for r in _subtract([(0, config.device_top)], kept)] + [(r, False) for r in free]
    b.info.untyped_list = [
        bi.UntypedDesc(paddr, bits, device) for region, device in regions for paddr, bits in cut_region(*region)
    ][: bi.MAX_UNTYPEDS]
    caps: list[Cap] = [
        UntypedCap(desc.paddr, desc.size_bits, desc.is_device, BIT[desc.size_bits]) for desc in b.info.untyped_list
    ]
    b.info.untyped = b.provide(caps)


def cut_region(start: int, end: int) -> list[tuple[int, int]]:
    """Cut a region greedily into (address, size_bits) untypeds: as large as length and alignment allow."""
    pieces = []
    while start < end:
        bits = min((end - start).bit_length() - 1, obj.MAX_UNTYPED_BITS)
        if start:
            bits = min(bits, (start & -start).bit_length() - 1)
        if bits >= obj.MIN_UNTYPED_BITS:
            pieces.append((start, bits))
        start += BIT[bits]
    return pieces


def _create_initial_thread(b: _Boot) -> None:
    state, tcb, sc = b.state, b.tcb, b.sched_context
    state.initial = tcb
    config = state.config
    for index, target in (
        (bi.CAP_INIT_CNODE, tcb.cspace_slot),
        (bi.CAP_INIT_VSPACE, tcb.vspace_slot),
        (bi.CAP_INIT_IPC_BUFFER, tcb.buffer_slot),
    ):
        source = b.cnode.slot(index)
        slots.insert_derived(slots.derive_cap(source, source.cap), source, target)
    tcb.ipc_buffer = b.info.ipc_buffer
    tcb.registers[reg.CAP_REGISTER] = b.info.ipc_buffer + obj.PAGE_BYTES
    tcb.registers[reg.FAULT_IP] = tcb.registers[reg.NEXT_IP] = b.image.entry
    tcb.priority = tcb.mcp = ROOT_PRIORITY
    tcb.name = "rootserver"
    tcb.state = RUNNING
    refills.configure(state, sc, refills.MIN_REFILLS, config.boot_time_slice_us * config.ticks_per_us, 0)
    sc.tcb, tcb.sched_context = tcb, sc
    b.write(bi.CAP_INIT_TCB, ThreadCap(tcb))
    b.write(bi.CAP_INIT_SCHED_CONTEXT, SchedContextCap(sc, sc.size_bits))
