"""Corners that programs made up at random hardly reach, each with what the manual or seL4's sources say of it."""

import itertools

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import errors as err
from capkernel.abi import faults as flt
from capkernel.abi import iospace as io
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.abi.message import BUFFER_CAPS, message_info
from capkernel.kernel import budget, refills, scheduler, slots, syscall
from capkernel.kernel import objects as ko
from capkernel.kernel.caps import (
    ASIDPoolCap,
    EndpointCap,
    FrameCap,
    IOPageTableCap,
    IRQControlCap,
    IRQHandlerCap,
    PageTableCap,
    ThreadCap,
    UntypedCap,
    ZombieCap,
    same_object_as,
    same_region_as,
)
from capkernel.kernel.cspace import lookup_slot
from capkernel.kernel.debug import dump_scheduler
from capkernel.kernel.errors import LookupFault, SyscallError
from capkernel.kernel.invocations import vspace as vspace_invocations
from capkernel.kernel.state import DOMAIN_MAX_DURATION, IRQ_INACTIVE
from capkernel.kernel.vspace import table_pte
from specs.programs import SLOTS, Compute, Layout, Syscall, Worker
from specs.programs.layout import FREE, GUARD_48, TEST_BITS
from tests.kernel.rootcalls import CNODE, Root
from tests.kernel.together import agreed, call, send

LINE, READ_ONLY = 10, 2
FIELDS = "paddr", "io", "level", "ioaddr"


def test_a_full_schedule_of_domains_starts_anew_at_the_entry_that_is_named() -> None:
    layout = Layout(schedule=((0, 20_000), (1, 8_000), (0, 3_000)))
    for start in range(3):
        agreed(layout, call("domain", labels.DOMAIN_SCHEDULE_SET_START, start))


def test_a_thread_that_holds_the_last_cap_of_its_cspace_keeps_it() -> None:
    """Another space could not be put in its place at once: what is there would have to be destroyed first."""
    space = call("tcb_fresh", labels.TCB_SET_SPACE, 0, 0, caps=("null", "cnode4", "vspace_root"))
    other = call("tcb_fresh", labels.TCB_SET_SPACE, 0, 0, caps=("null", "cnode2", "vspace_root"))
    delete = call("cnode", labels.CNODE_DELETE, SLOTS["cnode4"], TEST_BITS)
    for steps, answer in (((space, other), err.NO_ERROR), ((space, delete, other), err.ILLEGAL_OPERATION)):
        done = agreed(Layout(), *steps)
        assert done.threads[0].registers[reg.MSG_INFO_REGISTER] >> 12 == answer


@pytest.mark.parametrize(("guard", "caps"), [(GUARD_48, 1), (1 << 6 | GUARD_48, 0)])
def test_caps_that_a_waiting_sender_cannot_name_any_more_do_not_arrive(guard: int, caps: int) -> None:
    """They are looked up when they are sent, and again when they are handed over; then the message comes without."""
    sent = Syscall(sc.SEND, SLOTS["ep0"], 0, (1,), (SLOTS["ntfn0"],), thread=0)
    space = call("tcb0", labels.TCB_SET_SPACE, guard, 0, caps=("null", "cspace", "vspace_root"))
    place = SLOTS["cnode"], FREE[0], TEST_BITS
    received = Syscall(sc.RECV, SLOTS["ep0"], reply=SLOTS["reply0"], receive=place, thread=1)
    layout = Layout(workers=(Worker(priority=130), Worker(priority=120)))
    done = agreed(layout, sent, space, received)
    info = done.threads[1].registers[reg.MSG_INFO_REGISTER]
    assert (info & 127, info >> 7 & 3) == (1, caps)


def test_a_guard_is_compared_with_the_upper_bits_of_an_address() -> None:
    """Not with the lower ones, also not if they look alike when they are shifted the wrong way."""
    root = Root()
    radix, asked = root.cnode.radix, bi.CAP_INIT_TCB
    guarded = root.slot()
    root.do(CNODE, "CNode_Mint", guarded, 64, CNODE, 64, 15, asked << radix + 6 | 64 - radix, caps=(CNODE,))
    spaces = root.slot(), guarded, bi.CAP_INIT_VSPACE
    assert root.call(bi.CAP_INIT_TCB, "TCB_SetSpace", 0, 0, caps=spaces)[0] == err.NO_ERROR
    with pytest.raises(LookupFault) as refused:
        lookup_slot(root.thread, asked)
    failure = refused.value.failure
    assert (failure.kind, failure.words) == (err.GUARD_MISMATCH, (64, asked << radix, 64 - radix))
    assert lookup_slot(root.thread, asked << 2 * radix | asked).cap == root.cap(asked)


def test_an_interrupt_that_nobody_asked_for_is_completed_and_its_line_masked() -> None:
    root = Root()
    assert root.state.irq_states[LINE] == IRQ_INACTIVE
    root.machine.mask_irq(LINE, False)
    root.machine.irqchip.set_level(LINE, True)
    assert root.machine.irq_pending()
    syscall.handle_interrupt(root.state)
    assert not root.machine.irq_pending()
    # It was completed: once the line is allowed again, it can come again.
    root.machine.mask_irq(LINE, False)
    assert root.machine.irq_pending()
    assert root.machine.claim_irq() == LINE


def test_an_interrupt_number_beyond_the_controller_s_lines_is_none() -> None:
    root = Root()
    told: list[tuple[str, int]] = []
    machine = root.state.machine
    beyond = root.state.config.timer_irq + 1
    machine.claim_irq = lambda: beyond
    machine.complete_irq = lambda irq: told.append(("complete", irq))
    machine.mask_irq = lambda irq, masked: told.append(("mask", irq) if masked else ("allow", irq))
    syscall.handle_interrupt(root.state)
    assert told == [("complete", beyond), ("mask", beyond)]


def _pool(root: Root) -> tuple[int, ASIDPoolCap]:
    untyped, slot = root.make(obj.UNTYPED, obj.ASID_POOL_BITS), root.slot()
    root.do(bi.CAP_ASID_CONTROL, "ASIDControl_MakePool", slot, 64, caps=(untyped, CNODE))
    cap = root.cap(slot)
    assert isinstance(cap, ASIDPoolCap)
    return slot, cap


def test_a_pool_gives_511_or_512_identifiers_and_then_no_more() -> None:
    for first, size in ((True, 511), (False, 512)):
        root = Root()
        pool = bi.CAP_INIT_ASID_POOL
        if not first:
            pool, _ = _pool(root)
        held = root.cap(pool)
        assert isinstance(held, ASIDPoolCap)
        for low in range(512 - size, 511):
            held.pool.roots.setdefault(low, 0x1000)
        table = root.make(obj.PAGE_TABLE)
        assert root.call(pool, "ASIDPool_Assign", caps=(table,)) == (err.NO_ERROR, [])
        assert held.pool.roots.keys() == set(range(512 - size, 512))
        assert root.call(pool, "ASIDPool_Assign", caps=(root.make(obj.PAGE_TABLE),)) == (err.DELETE_FIRST, [])


def test_no_more_pools_than_128_can_be_made() -> None:
    root = Root()
    for high in range(1, 127):
        root.state.asid_table[high] = root.state.asid_table[0]
    slot, cap = _pool(root)
    assert cap.base == 127 << 9
    untyped = root.make(obj.UNTYPED, obj.ASID_POOL_BITS)
    words = root.slot(), 64
    assert root.call(bi.CAP_ASID_CONTROL, "ASIDControl_MakePool", *words, caps=(untyped, CNODE)) == (
        err.DELETE_FIRST, [],
    )  # fmt: skip


def test_a_pool_cap_whose_pool_is_gone_or_another_is_refused() -> None:
    """No sequence of calls leads there; the kernel checks, as seL4 does."""
    root = Root()
    slot, cap = _pool(root)
    table = root.make(obj.PAGE_TABLE)
    del root.state.asid_table[cap.base >> 9]
    error, words = root.call(slot, "ASIDPool_Assign", caps=(table,))
    assert (error, words[:2]) == (err.FAILED_LOOKUP, [0, err.INVALID_ROOT])
    root.state.asid_table[cap.base >> 9] = ko.ASIDPool(0x1000, cap.base)
    assert root.call(slot, "ASIDPool_Assign", caps=(table,)) == (err.INVALID_CAPABILITY, [0])


def test_a_mapped_frame_is_not_mapped_again_where_a_table_is() -> None:
    """``decodeRISCVFrameInvocation`` checks it; the look-up before it goes on into a table, so no call gets here."""
    cap = FrameCap(0x8000_0000, 21, 3, False, 1, 0x20_0000)
    with pytest.raises(SyscallError) as refused:
        vspace_invocations._check_remap(cap, 1, 0x20_0000, table_pte(0x9000_0000))
    assert refused.value.code == err.DELETE_FIRST


def test_where_a_page_cannot_be_mapped_for_a_device_the_error_says_how_many_bits_are_missing() -> None:
    root = Root("virt_iommu")
    space, _ = root.mint(bi.CAP_IO_SPACE, 5 << 16 | 0x18)
    frame, _ = root.frame()
    error, words = root.call(frame, "Page_MapIO", 3, 0x5000, caps=(space,))
    assert (error, words[:2]) == (err.FAILED_LOOKUP, [0, err.INVALID_ROOT])
    for level in range(io.IO_LEVELS):
        table = root.make(io.OBJECT_IO_PAGE_TABLE)
        root.do(table, "IOPageTable_Map", 0x5000, caps=(space,))
        if level < io.IO_LEVELS - 1:
            error, words = root.call(frame, "Page_MapIO", 3, 0x5000, caps=(space,))
            left = 12 + io.IO_PT_INDEX_BITS * (io.IO_LEVELS - 1 - level)
            assert (error, words[:3]) == (err.FAILED_LOOKUP, [0, err.MISSING_CAPABILITY, left])
    assert root.call(frame, "Page_MapIO", 3, 0x5000, caps=(space,))[0] == err.NO_ERROR


def test_a_table_that_is_taken_out_of_an_iospace_is_as_new() -> None:
    root = Root("virt_iommu")
    space, _ = root.mint(bi.CAP_IO_SPACE, 5 << 16 | 0x18)
    tables = [root.make(io.OBJECT_IO_PAGE_TABLE) for _ in range(io.IO_LEVELS)]
    new = [root.cap(table) for table in tables]
    for table in tables:
        root.do(table, "IOPageTable_Map", 0x4020_5000, caps=(space,))
    for table, before in zip(tables, new, strict=True):
        root.do(table, "IOPageTable_Unmap")
        after = root.cap(table)
        assert isinstance(after, IOPageTableCap)
        assert [getattr(after, name) for name in FIELDS] == [getattr(before, name) for name in FIELDS]


@pytest.mark.parametrize("ioaddr", [0, 0x5000, 0x20_0000, 0x4000_0000 * (io.IO_LEVELS > 2), 0x4060_7000])
@pytest.mark.parametrize("taken", range(io.IO_LEVELS))
def test_a_table_is_taken_out_of_its_place_in_the_tree_and_no_other(ioaddr: int, taken: int) -> None:
    root = Root("virt_iommu")
    space, _ = root.mint(bi.CAP_IO_SPACE, 5 << 16 | 0x18)
    tables = [root.make(io.OBJECT_IO_PAGE_TABLE) for _ in range(io.IO_LEVELS)]
    for table in tables:
        root.do(table, "IOPageTable_Map", ioaddr, caps=(space,))
    caps = [root.cap(table) for table in tables]
    shifts = [12 + io.IO_PT_INDEX_BITS * (io.IO_LEVELS - 1 - level) for level in range(io.IO_LEVELS)]
    entries = []
    for level, cap in enumerate(caps[:-1]):
        assert isinstance(cap, IOPageTableCap)
        entries.append(cap.paddr + 8 * (ioaddr >> shifts[level] & (1 << io.IO_PT_INDEX_BITS) - 1))
    assert all(root.machine.read_word(entry) for entry in entries)
    root.do(tables[taken], "IOPageTable_Unmap")
    left = [bool(root.machine.read_word(entry)) for entry in entries]
    # The entry that led to it is gone, and so are its own.
    assert left == [level not in (taken - 1, taken) for level in range(io.IO_LEVELS - 1)]
    assert (0x18 in root.state.io_contexts) is (taken > 0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(io.IO_LEVELS))))
def test_tables_are_taken_out_in_any_order(order: tuple[int, ...]) -> None:
    root = Root("virt_iommu")
    space, _ = root.mint(bi.CAP_IO_SPACE, 5 << 16 | 0x18)
    tables = [root.make(io.OBJECT_IO_PAGE_TABLE) for _ in range(io.IO_LEVELS)]
    for table in tables:
        root.do(table, "IOPageTable_Map", 0x4060_7000, caps=(space,))
    for index in order:
        root.do(tables[index], "IOPageTable_Unmap")
    for table in tables:
        cap = root.cap(table)
        assert isinstance(cap, IOPageTableCap)
        assert (cap.io, cap.level, cap.ioaddr) == (None, 0, 0)
    assert root.state.io_contexts == {}


def test_the_first_half_of_a_combined_call_may_not_stop_its_caller_and_says_which_cap_is_wrong() -> None:
    root = Root()
    endpoint, reply = root.make(obj.ENDPOINT), root.make(obj.REPLY)
    root.call_later(bi.CAP_INIT_TCB, "TCB_Suspend", (), ())
    root.ecall(sc.NBSEND_RECV, a0=endpoint, a6=reply, t0=bi.CAP_INIT_TCB)
    refusal = root.state.refusal
    assert isinstance(refusal, SyscallError)
    assert (refusal.code, refusal.words) == (err.INVALID_CAPABILITY, (0,))


def test_a_thread_is_named_only_through_a_buffer_that_it_may_write() -> None:
    root = Root()
    frame = root.cap(bi.CAP_INIT_IPC_BUFFER)
    assert isinstance(frame, FrameCap)
    root.machine.write_bytes(frame.paddr + 8, b"bob\0")
    buffer = root.thread.buffer_slot
    held = buffer.cap
    assert isinstance(held, FrameCap)
    buffer.cap = FrameCap(held.paddr, held.size_bits, READ_ONLY, held.is_device)
    root.ecall(sc.DEBUG_NAME_THREAD, a0=bi.CAP_INIT_TCB)
    assert root.thread.name == "rootserver"
    assert root.machine.halted


@pytest.mark.parametrize("name", ["", "x", "y" * 127, "z" * 128])
def test_a_name_may_be_empty_and_is_cut_after_127_characters(name: str) -> None:
    root = Root()
    frame = root.cap(bi.CAP_INIT_IPC_BUFFER)
    assert isinstance(frame, FrameCap)
    root.machine.write_bytes(frame.paddr + 8, name.encode() + b"\0")
    root.ecall(sc.DEBUG_NAME_THREAD, a0=bi.CAP_INIT_TCB)
    assert not root.machine.halted
    assert root.thread.name == name[:127]


@pytest.mark.parametrize(("length", "ends"), [(8 * 120 - 1, True), (8 * 120, False)])
def test_a_name_must_end_within_the_message(length: int, ends: bool) -> None:
    root = Root()
    frame = root.cap(bi.CAP_INIT_IPC_BUFFER)
    assert isinstance(frame, FrameCap)
    root.machine.write_bytes(frame.paddr + 8, b"n" * length + b"\0")
    root.ecall(sc.DEBUG_NAME_THREAD, a0=bi.CAP_INIT_TCB)
    assert root.machine.halted is not ends
    assert root.thread.name == ("n" * 127 if ends else "rootserver")


def test_a_domain_s_turn_may_last_56_bits_of_ticks() -> None:
    root = Root(num_domains=2, domain_schedule_length=4)
    longest = (1 << 56) - 1
    root.do(bi.CAP_DOMAIN, "DomainSet_ScheduleConfigure", 1, 1, longest)
    assert root.state.domain_schedule[1] == (1, longest)
    words = 1, 1, longest + 1
    assert root.call(bi.CAP_DOMAIN, "DomainSet_ScheduleConfigure", *words) == (err.INVALID_ARGUMENT, [2])


def test_a_zombie_is_like_no_other_not_even_of_the_same_object() -> None:
    root = Root()
    one, other = (ZombieCap(root.cnode, 4, 4) for _ in range(2))
    assert not same_region_as(one, other)
    assert not same_object_as(one, other)
    assert same_region_as(one, one)


def test_the_dump_of_the_scheduler_names_the_running_thread_and_both_queues_in_order() -> None:
    root = Root(num_domains=4)
    threads = []
    for domain, priority, name in ((0, 7, "seven"), (0, 9, ""), (2, 9, "d\xe9j\xe0"), (0, 9, "late")):
        tcb, context = root.make(obj.TCB), root.make(obj.SCHED_CONTEXT, 8)
        words = 5000, 5000 if name != "late" else 9000, 0, 0, 0
        root.do(root.info.sched_control[0], "SchedControl_ConfigureFlags", *words, caps=(context,))
        root.do(tcb, "TCB_SetSpace", 0, 0, caps=(root.slot(), CNODE, bi.CAP_INIT_VSPACE))
        root.do(tcb, "TCB_SetSchedParams", 0, priority, caps=(bi.CAP_INIT_TCB, context, root.slot()))
        root.do(bi.CAP_DOMAIN, "DomainSet_Set", domain, caps=(tcb,))
        cap = root.cap(tcb)
        thread = getattr(cap, "tcb")  # noqa: B009
        thread.name = name
        threads.append(thread)
        if name == "late":
            thread.sched_context.refills[0].time += 10_000
        root.do(tcb, "TCB_Resume")
    assert dump_scheduler(root.state) == (
        "current: rootserver\n"
        "ready: domain 0 priority 7: seven\n"
        f"ready: domain 0 priority 9: {threads[1].paddr:#x}\n"
        "ready: domain 2 priority 9: d\xe9j\xe0\n"
        "release: late\n"
    )
    root.ecall(sc.DEBUG_SNAPSHOT)
    assert root.printed.startswith(f"-- snapshot at tick {root.state.time}\ncurrent: rootserver\n")
    assert "d?j?" in root.printed


def test_caps_of_different_kinds_are_of_different_objects_but_for_what_lies_in_memory_or_under_a_master() -> None:
    root = Root("virt_iommu")
    kinds = (obj.TCB, obj.ENDPOINT, obj.NOTIFICATION, obj.REPLY, obj.PAGE, obj.PAGE_TABLE, io.OBJECT_IO_PAGE_TABLE)
    places = [root.make(kind) for kind in kinds]
    places += [root.make(obj.CNODE, 1), root.make(obj.SCHED_CONTEXT, 8), root.untyped, bi.CAP_ASID_CONTROL]
    places += [bi.CAP_INIT_ASID_POOL, bi.CAP_DOMAIN, bi.CAP_IRQ_CONTROL, bi.CAP_IO_SPACE, root.info.sched_control[0]]
    places.append(root.slot())
    root.do(bi.CAP_IRQ_CONTROL, "IRQControl_Get", LINE, places[-1], 64, caps=(CNODE,))
    caps = [root.cap(place) for place in places]
    assert len({type(cap) for cap in caps}) == len(caps)
    for outer in caps:
        assert same_region_as(outer, outer)
        within = {type(inner) for inner in caps if inner is not outer and same_region_as(outer, inner)}
        if isinstance(outer, UntypedCap):
            assert within == {type(cap) for cap in caps[:9]}
        else:
            assert within == ({IRQHandlerCap} if isinstance(outer, IRQControlCap) else set()), outer
        assert not [inner for inner in caps if inner is not outer and same_object_as(outer, inner)]


def test_a_device_s_iospace_goes_away_before_it_has_a_tree_and_a_frame_after_its_tree() -> None:
    root = Root("virt_iommu")
    space, _ = root.mint(bi.CAP_IO_SPACE, 5 << 16 | 0x18)
    root.do(CNODE, "CNode_Delete", space, 64)
    space, _ = root.mint(bi.CAP_IO_SPACE, 5 << 16 | 0x18)
    tables = [root.make(io.OBJECT_IO_PAGE_TABLE) for _ in range(io.IO_LEVELS)]
    for table in tables:
        root.do(table, "IOPageTable_Map", 0x5000, caps=(space,))
    frame, _ = root.frame()
    root.do(frame, "Page_MapIO", 3, 0x5000, caps=(space,))
    root.do(tables[0], "IOPageTable_Unmap")
    root.do(tables[1], "IOPageTable_Unmap")
    root.do(frame, "Page_Unmap")
    cap = root.cap(frame)
    assert isinstance(cap, FrameCap)
    assert (cap.io, cap.vaddr) == (None, 0)


def test_a_frame_that_is_unmapped_late_leaves_the_one_that_has_taken_its_place() -> None:
    root = Root("virt_iommu")
    space, _ = root.mint(bi.CAP_IO_SPACE, 5 << 16 | 0x18)
    tables = [root.make(io.OBJECT_IO_PAGE_TABLE) for _ in range(io.IO_LEVELS + 1)]
    for table in tables[:-1]:
        root.do(table, "IOPageTable_Map", 0x5000, caps=(space,))
    old, new = root.frame()[0], root.frame()[0]
    root.do(old, "Page_MapIO", 3, 0x5000, caps=(space,))
    root.do(tables[-2], "IOPageTable_Unmap")
    root.do(tables[-1], "IOPageTable_Map", 0x5000, caps=(space,))
    root.do(new, "Page_MapIO", 3, 0x5000, caps=(space,))
    leaf = root.cap(tables[-1])
    assert isinstance(leaf, IOPageTableCap)
    entry = root.machine.read_word(leaf.paddr + 8 * 5)
    assert entry
    root.do(old, "Page_Unmap")
    assert root.machine.read_word(leaf.paddr + 8 * 5) == entry
    root.do(new, "Page_Unmap")
    assert root.machine.read_word(leaf.paddr + 8 * 5) == 0


def test_a_thread_without_a_buffer_names_nobody() -> None:
    root = Root()
    root.thread.buffer_slot.cap = ko.NULL
    root.ecall(sc.DEBUG_NAME_THREAD, a0=bi.CAP_INIT_TCB)
    assert root.thread.name == "rootserver"
    assert root.machine.halted


def test_who_has_lost_its_cspace_faults_with_an_invalid_root() -> None:
    root = Root()
    endpoint, reply, node = root.make(obj.ENDPOINT), root.make(obj.REPLY), root.make(obj.CNODE, 4)
    tcb, context = root.make(obj.TCB), root.make(obj.SCHED_CONTEXT, 8)
    root.do(root.info.sched_control[0], "SchedControl_ConfigureFlags", 5000, 5000, 0, 0, 0, caps=(context,))
    root.do(tcb, "TCB_SetSpace", 0, 0, caps=(endpoint, node, bi.CAP_INIT_VSPACE))
    root.do(tcb, "TCB_SetSchedParams", 0, 255, caps=(bi.CAP_INIT_TCB, context, endpoint))
    root.do(tcb, "TCB_WriteRegisters", 1, 2, 0x40_0000, 0)
    root.do(CNODE, "CNode_Revoke", node, 64)
    root.ecall(sc.RECV, a0=endpoint, a6=reply)
    child = root.state.current
    assert child is not root.thread
    child.registers[reg.A0] = 0x77
    syscall.handle_syscall(root.state, sc.CALL)
    assert root.state.current is root.thread
    buffer = root.cap(bi.CAP_INIT_IPC_BUFFER)
    assert isinstance(buffer, FrameCap)
    words = [root.thread.registers[r] for r in reg.MSG_REGISTERS]
    assert words[1:3] == [0x77, 0]
    assert words[3] == err.INVALID_ROOT


def test_after_a_preemption_nothing_is_left_to_charge_to_a_context_that_is_gone() -> None:
    root = Root()
    state = root.state
    root.thread.sched_context = None
    state.current_sc.refill_max = 0
    state.consumed = 77
    budget.after_preemption(state)
    assert state.consumed == 0


def test_an_untyped_that_was_reset_can_be_used_to_its_last_byte() -> None:
    root = Root()
    untyped, slot = root.make(obj.UNTYPED, 12), root.slot()
    for kind, count in ((obj.TCB, 2), (obj.PAGE, 1), (obj.TCB, 2)):
        assert root.call(untyped, "Untyped_Retype", kind, 0, 0, 0, slot, count + 1, caps=(CNODE,))[0] == (
            err.NOT_ENOUGH_MEMORY
        )
        root.do(untyped, "Untyped_Retype", kind, 0, 0, 0, slot, count, caps=(CNODE,))
        for n in range(count):
            root.do(CNODE, "CNode_Delete", slot + n, 64)


def test_flags_are_cleared_and_then_set() -> None:
    root = Root()
    tcb = root.make(obj.TCB)
    assert root.do(tcb, "TCB_SetFlags", 0, 1) == [1]
    assert root.do(tcb, "TCB_SetFlags", 1, 0) == [0]
    assert root.do(tcb, "TCB_SetFlags", 1, 1) == [1]


def test_what_takes_a_cap_takes_one() -> None:
    root = Root()
    tcb = root.make(obj.TCB)
    for name, words in (("TCB_SetTimeoutEndpoint", ()), ("TCB_BindNotification", ()), ("TCB_SetPriority", (1,))):
        assert root.call(tcb, name, *words) == (err.TRUNCATED_MESSAGE, [])


def test_the_kernel_s_variables_begin_as_they_must() -> None:
    root = Root()
    state, config = root.state, root.state.config
    longest = ((1 << 64) - 1) // 10 // 8 * 10
    assert config.ticks_per_us == 10
    assert state.max_release_time == (1 << 64) - 1 - 5 * longest
    assert state.min_budget == 200
    assert (state.idle.paddr, state.idle_sc.paddr, state.idle_sc.size_bits, state.irq_slots.paddr) == (0, 0, 0, 0)
    assert (state.idle.name, state.idle.state) == ("idle_thread", ko.IDLE)
    assert (ko.TCB(0x1000).name, state.refusal) == ("", None)
    assert state.domain_schedule[0] == (0, DOMAIN_MAX_DURATION)
    assert set(state.domain_schedule[1:]) <= {(0, 0)}


def test_refills_of_the_far_future_are_left_alone() -> None:
    """seL4's ``MAX_RELEASE_TIME``: from there on times are not moved any more."""
    state = Root().state
    for distance, moved in ((-1, True), (0, False), (1, False)):
        context = ko.SchedContext(0x1000, 8)
        context.period, context.refill_max = 5_000, 4
        context.refills = [ko.Refill(state.max_release_time + distance, 1_000)]
        refills.budget_check(state, context, 300)
        assert (context.refills[0].time != state.max_release_time + distance) is moved
        context.refills = [ko.Refill(state.max_release_time + distance, 1_000)]
        refills.budget_check(state, context, 1_000)
        assert (context.refills[0].time != state.max_release_time + distance) is moved


@pytest.mark.parametrize("link", ["cap", "prev", "next"])
def test_nothing_is_put_into_a_slot_that_holds_or_is_linked_to_something(link: str) -> None:
    root = Root()
    source, dest = root.cnode.slot(root.make(obj.ENDPOINT)), root.cnode.slot(root.slot())
    setattr(dest, link, source.cap if link == "cap" else source)
    with pytest.raises(ko.KernelBug, match="not empty"):
        slots.insert_derived(source.cap, source, dest)


def test_states_are_known_by_name() -> None:
    named = [ko.INACTIVE, ko.RUNNING, ko.RESTART, ko.IDLE]
    assert [getattr(state, "name", "") for state in named] == ["Inactive", "Running", "Restart", "IdleThread"]
    assert ko.PlainState("Sleeping").name == "Sleeping"


def test_an_address_space_number_that_is_free_again_is_given_out_again_from_1_on() -> None:
    """0 is no address space's number, though it is free in the first pool."""
    root = Root()
    other, third = root.make(obj.PAGE_TABLE), root.make(obj.PAGE_TABLE)
    root.do(bi.CAP_INIT_ASID_POOL, "ASIDPool_Assign", caps=(other,))
    root.do(bi.CAP_INIT_TCB, "TCB_SetSpace", 0, 0, caps=(root.slot(), CNODE, other))
    first = root.cap(bi.CAP_INIT_VSPACE)
    assert isinstance(first, PageTableCap)
    assert first.asid == 1
    root.do(CNODE, "CNode_Delete", bi.CAP_INIT_VSPACE, 64)
    root.do(bi.CAP_INIT_ASID_POOL, "ASIDPool_Assign", caps=(third,))
    assigned = [root.cap(slot) for slot in (other, third)]
    assert [cap.asid for cap in assigned if isinstance(cap, PageTableCap)] == [2, 1]


def test_a_timeout_of_a_thread_that_has_lost_its_time_meanwhile_tells_only_whose_it_was() -> None:
    """The handler receives after the context was unbound, so there is no time used to tell of."""
    workers = Worker(priority=130, budget=1_000, period=50_000, timeout=SLOTS["ep1"]), Worker(priority=120)
    spent, unbind = Compute(20_000, thread=0), call("sc0", labels.SCHED_CONTEXT_UNBIND, thread=1)
    received = Syscall(sc.RECV, SLOTS["ep1"], reply=SLOTS["reply0"], thread=1)
    for steps, length in (((spent, received), 2), ((spent, unbind, received), 1)):
        done = agreed(Layout(workers=workers), *steps)
        info = done.threads[1].registers[reg.MSG_INFO_REGISTER]
        assert (info >> 12, info & 127) == (flt.TIMEOUT, length)


@pytest.mark.parametrize(("handler", "fault"), [(0, type(None)), (SLOTS["ep1"], ko.Timeout)])
def test_who_gets_back_time_that_is_used_up_times_out_or_waits(handler: int, fault: type) -> None:
    """A third thread answers the caller while the server, on the caller's time, waits for the next budget."""
    workers = (
        Worker(priority=120, budget=1_000, period=50_000, timeout=handler),
        Worker(priority=130, passive=True, serves=(SLOTS["ep0"], SLOTS["reply0"])), Worker(priority=110),
    )  # fmt: skip
    asked = send("ep0", 1, number=sc.CALL, thread=0)
    done = agreed(Layout(workers=workers), asked, Compute(20_000, thread=1), send("reply0", 7, thread=2))
    answered = done.threads[0]
    assert type(answered.fault) is fault
    assert (answered.queued == ko.RELEASE_QUEUE) == (handler == 0)


def test_a_message_without_the_caps_that_it_needs_is_truncated() -> None:
    root = Root()
    control, slot = bi.CAP_IRQ_CONTROL, root.slot()
    thread, spaces = root.make(obj.TCB), (root.slot(), CNODE, bi.CAP_INIT_VSPACE)
    truncated = err.TRUNCATED_MESSAGE, []
    assert root.call(control, "IRQControl_Get", LINE, slot, 64) == truncated
    assert root.call(control, "IRQControl_GetTrigger", LINE, 0, slot, 64) == truncated
    assert root.call(thread, "TCB_CopyRegisters", 0) == truncated
    for present in range(3):
        assert root.call(thread, "TCB_SetSpace", 0, 0, caps=spaces[:present]) == truncated
    assert root.call(thread, "TCB_SetSpace", 0, 0, caps=spaces) == (err.NO_ERROR, [])


def test_budgets_and_periods_reach_from_the_least_to_the_greatest() -> None:
    root = Root()
    least, most = root.state.config.min_budget_us, root.state.config.max_period_us
    context = root.make(obj.SCHED_CONTEXT, obj.MIN_SCHED_CONTEXT_BITS)
    bounds = err.RANGE_ERROR, [least, most]
    answers = {
        (least, least): (err.NO_ERROR, []), (least, most): (err.NO_ERROR, []), (most, most): (err.NO_ERROR, []),
        (least - 1, most): bounds, (least, least - 1): bounds, (most, most + 1): bounds, (most + 1, most): bounds,
        (least + 1, least): (err.RANGE_ERROR, [least, least]),
    }  # fmt: skip
    for (budget_us, period_us), answer in answers.items():
        configured = root.call(
            root.info.sched_control[0], "SchedControl_ConfigureFlags", budget_us, period_us, 0, 0, 0, caps=(context,)
        )
        assert configured == answer, (budget_us, period_us)


def test_what_was_refused_is_kept_for_whoever_asks_why() -> None:
    root = Root()
    root.call(bi.CAP_INIT_TCB, "CNode_Revoke", 0, 0)
    assert isinstance(root.state.refusal, SyscallError)
    root.ecall(sc.NBSEND, a0=1 << 60, a1=0)
    assert isinstance(root.state.refusal, ko.CapFault)
    root.ecall(77)
    assert isinstance(root.state.refusal, ko.UnknownSyscall)


def test_without_a_buffer_a_message_has_four_words() -> None:
    """Whatever its length says; what an operation needs beyond that is not there."""
    made = call("untyped", labels.UNTYPED_RETYPE, obj.ENDPOINT, 0, 0, 0, FREE[0], 1, caps=("cnode",))
    written = call("tcb_fresh", labels.TCB_WRITE_REGISTERS, 0, 4, 1, 2, 3, 4)
    for step in (made, written):
        for buffer, answer in ((True, err.NO_ERROR), (False, err.TRUNCATED_MESSAGE)):
            done = agreed(Layout(workers=(Worker(buffer=buffer),)), step)
            assert done.threads[0].registers[reg.MSG_INFO_REGISTER] >> 12 == answer


def test_a_page_that_reaches_just_to_the_end_of_user_space_may_be_mapped() -> None:
    root = Root()
    frame, end = root.make(obj.PAGE), obj.USER_TOP
    answers = {end - 0x1000: err.FAILED_LOOKUP, end - 0xFFF: err.INVALID_ARGUMENT, end - 0x1001: err.ALIGNMENT_ERROR}
    for vaddr, answer in answers.items():
        assert root.call(frame, "Page_Map", vaddr, 3, 0, caps=(bi.CAP_INIT_VSPACE,))[0] == answer, hex(vaddr)


def test_a_buffer_that_may_only_be_read_gives_long_messages_and_takes_none() -> None:
    root = Root()
    endpoint, reply = root.make(obj.ENDPOINT), root.make(obj.REPLY)
    tcb, context = root.make(obj.TCB), root.make(obj.SCHED_CONTEXT, 8)
    root.do(root.info.sched_control[0], "SchedControl_ConfigureFlags", 5000, 5000, 0, 0, 0, caps=(context,))
    root.do(tcb, "TCB_SetSpace", 0, 0, caps=(endpoint, CNODE, bi.CAP_INIT_VSPACE))
    root.do(tcb, "TCB_SetSchedParams", 0, 255, caps=(bi.CAP_INIT_TCB, context, endpoint))
    root.do(tcb, "TCB_WriteRegisters", 1, 2, 0x40_0000, 0)
    address = root.thread.ipc_buffer
    frame = root.cap(bi.CAP_INIT_IPC_BUFFER)
    assert isinstance(frame, FrameCap)
    for rights, length in ((rt.READ_WRITE, len(flt.UNKNOWN_SYSCALL_MESSAGE) + 1), (rt.READ, 4)):
        own = root.copy(bi.CAP_INIT_IPC_BUFFER, rights)
        root.do(bi.CAP_INIT_TCB, "TCB_SetIPCBuffer", address, caps=(own,))
        root.ecall(sc.RECV, a0=endpoint, a6=reply)
        child = root.state.current
        assert child is not root.thread
        syscall.handle_syscall(root.state, 77)
        assert root.state.current is root.thread
        assert root.thread.registers[reg.MSG_INFO_REGISTER] == message_info(flt.UNKNOWN_SYSCALL, length)
        for index in range(4, len(flt.UNKNOWN_SYSCALL_MESSAGE)):
            root.machine.write_word(frame.paddr + 8 + 8 * index, length << 32 | index)
        root.ecall(sc.SEND, a0=reply, a1=message_info(0, len(flt.UNKNOWN_SYSCALL_MESSAGE)))
        answered = [child.registers[register] for register in flt.UNKNOWN_SYSCALL_MESSAGE[4:]]
        assert answered == [length << 32 | index for index in range(4, len(flt.UNKNOWN_SYSCALL_MESSAGE))]
    copied = root.slot()
    for offset, word in ((8 + 8 * 4, rt.ALL), (BUFFER_CAPS, CNODE)):
        root.machine.write_word(frame.paddr + offset, word)
    words = {"a2": copied, "a3": 64, "a4": endpoint, "a5": 64}
    root.ecall(sc.CALL, a0=CNODE, a1=message_info(labels.CNODE_COPY, 5, 1), **words)
    assert root.cap(copied) is not ko.NULL


def test_a_fault_handler_must_be_written_to_and_its_answers_be_taken() -> None:
    root = Root()
    endpoint, tcb = root.make(obj.ENDPOINT), root.make(obj.TCB)
    for rights in range(16):
        handler = root.copy(endpoint, rights)
        good = rights & rt.WRITE and rights & (rt.GRANT | rt.GRANT_REPLY)
        answer = (err.NO_ERROR, []) if good else (err.INVALID_CAPABILITY, [1])
        assert root.call(tcb, "TCB_SetTimeoutEndpoint", caps=(handler,)) == answer, rights


def test_who_is_made_by_a_thread_with_a_long_name_has_as_much_of_it_as_there_is_room() -> None:
    root = Root()
    root.thread.name = "x" * 127
    cap = root.cap(root.make(obj.TCB))
    assert isinstance(cap, ThreadCap)
    assert cap.tcb.name == "child of: '" + "x" * 116


def test_no_table_is_mapped_where_user_space_has_ended() -> None:
    root = Root()
    table = root.make(obj.PAGE_TABLE)
    for vaddr in (obj.USER_TOP, obj.USER_TOP + 0x1000):
        assert root.call(table, "PageTable_Map", vaddr, 0, caps=(bi.CAP_INIT_VSPACE,)) == (err.INVALID_ARGUMENT, [0])
    assert root.call(table, "PageTable_Map", obj.USER_TOP - 1, 0, caps=(bi.CAP_INIT_VSPACE,)) == (err.NO_ERROR, [])


def test_what_was_made_of_a_badged_cap_goes_with_it_and_others_stay() -> None:
    root = Root()
    endpoint = root.make(obj.ENDPOINT)
    badged, other = root.mint(endpoint, 5)[0], root.mint(endpoint, 6)[0]
    copies = [root.copy(badged), root.copy(badged), root.copy(other)]
    root.do(CNODE, "CNode_Revoke", badged, 64)
    left = [root.cap(slot) is not ko.NULL for slot in (endpoint, badged, other, *copies)]
    assert left == [True, True, True, False, False, True]


def test_an_untyped_as_large_as_a_chunk_is_cleared_in_one_unit_of_work() -> None:
    root = Root()
    bits = root.state.config.reset_chunk_bits
    untyped, slot = root.make(obj.UNTYPED, bits), root.slot()
    for _ in range(2):
        root.state.work_units = 0
        root.do(untyped, "Untyped_Retype", obj.ENDPOINT, 0, 0, 0, slot, 1, caps=(CNODE,))
        done = root.state.work_units
        root.do(CNODE, "CNode_Delete", slot, 64)
    assert done == 1


def test_an_address_space_that_has_lost_its_number_leaves_the_next_one_that_has_it() -> None:
    """Its cap still says the number; the pool was made anew, and gives it to another."""
    root = Root()
    flushed: list[int] = []
    flush = root.machine.flush_asid
    root.state.machine.flush_asid = lambda asid: (flushed.append(asid), flush(asid))
    spaces = []
    slot, pool = _pool(root)
    for _ in range(2):
        spaces.append(root.make(obj.PAGE_TABLE))
        root.do(slot, "ASIDPool_Assign", caps=(spaces[-1],))
        if len(spaces) == 1:
            cap = root.cap(spaces[0])
            assert isinstance(cap, PageTableCap)
            assert cap.asid >= pool.base > 0
            root.do(CNODE, "CNode_Delete", slot, 64)
            assert flushed == [cap.asid]
            slot, _ = _pool(root)
    second = root.cap(spaces[1])
    assert isinstance(second, PageTableCap)
    assert second.asid == cap.asid
    root.do(CNODE, "CNode_Delete", spaces[0], 64)
    assert flushed == [cap.asid]
    root.do(CNODE, "CNode_Delete", spaces[1], 64)
    assert flushed == [cap.asid, cap.asid]


def test_all_address_spaces_of_a_pool_that_goes_are_forgotten_by_number() -> None:
    root = Root()
    slot, pool = _pool(root)
    spaces = [root.make(obj.PAGE_TABLE) for _ in range(3)]
    for space in spaces:
        root.do(slot, "ASIDPool_Assign", caps=(space,))
    flushed: list[int] = []
    root.state.machine.flush_asid = flushed.append
    root.do(CNODE, "CNode_Delete", slot, 64)
    assert flushed == [pool.base, pool.base + 1, pool.base + 2]


def test_of_those_who_wait_for_the_same_tick_the_first_is_the_first_to_go_on() -> None:
    state = Root().state
    waiting = []
    for number, time in enumerate((700, 500, 700, 600, 500)):
        thread, context = ko.TCB(0x1000 * number), ko.SchedContext(0x9000, 8)
        context.refills = [ko.Refill(time, 300)]
        thread.sched_context = context
        scheduler.release_enqueue(state, thread)
        waiting.append(thread)
    assert list(state.release) == [waiting[number] for number in (1, 4, 3, 0, 2)]


def test_refills_that_touch_are_one_after_a_pause() -> None:
    state = Root().state
    for gap, count in ((-1, 1), (0, 1), (1, 2)):
        context = ko.SchedContext(0x1000, 8)
        context.period, context.refill_max = 5_000, 4
        context.refills = [ko.Refill(state.time - 50, 300), ko.Refill(state.time + 300 + gap, 200)]
        refills.unblock_check(state, context)
        assert len(context.refills) == count
        assert sum(refill.amount for refill in context.refills) == 500


def test_an_untyped_is_no_buffer_whether_something_was_made_of_it_or_not() -> None:
    root = Root()
    fresh = root.make(obj.UNTYPED, 12)
    for untyped, answer in ((fresh, err.ILLEGAL_OPERATION), (root.untyped, err.REVOKE_FIRST)):
        assert root.call(bi.CAP_INIT_TCB, "TCB_SetIPCBuffer", 0x1000, caps=(untyped,)) == (answer, [])


def test_an_endpoint_whose_last_cap_is_a_thread_s_handler_goes_when_that_has_another_one() -> None:
    root = Root()
    tcb, endpoint = root.make(obj.TCB), root.make(obj.ENDPOINT)
    root.do(tcb, "TCB_SetTimeoutEndpoint", caps=(endpoint,))
    cap, thread = root.cap(endpoint), root.cap(tcb)
    assert isinstance(cap, EndpointCap)
    assert isinstance(thread, ThreadCap)
    root.do(CNODE, "CNode_Delete", endpoint, 64)
    other = ko.TCB(0)
    other.state = ko.BlockedOnReceive(cap.endpoint, None)
    cap.endpoint.enqueue(other, ko.EP_RECEIVE)
    root.do(tcb, "TCB_SetTimeoutEndpoint", caps=(root.make(obj.ENDPOINT),))
    assert cap.endpoint.state == ko.EP_IDLE
    assert other.state is ko.RESTART


def test_a_frame_outlives_the_address_space_that_it_was_mapped_in() -> None:
    root = Root()
    space, frame = root.make(obj.PAGE_TABLE), root.make(obj.PAGE)
    root.do(bi.CAP_INIT_ASID_POOL, "ASIDPool_Assign", caps=(space,))
    for _ in range(2):
        root.do(root.make(obj.PAGE_TABLE), "PageTable_Map", 0x1000, 0, caps=(space,))
    root.do(frame, "Page_Map", 0x1000, 3, 0, caps=(space,))
    root.do(CNODE, "CNode_Delete", space, 64)
    root.do(frame, "Page_Unmap")
    cap = root.cap(frame)
    assert isinstance(cap, FrameCap)
    assert cap.asid == 0
