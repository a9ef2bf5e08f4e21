"""Filling a fresh world with what a recorded program starts from, by its group."""

from typing import Any

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.kernel.caps import ThreadCap, UntypedCap
from capkernel.kernel.objects import TCB
from capkernel.tools.conform.world import (
    CODE,
    MAX_PRIORITY,
    PARENT_BITS,
    RAM_TOP,
    ROOT_PRIORITY,
    TEN_SECONDS_US,
    TP,
    WORKER_LOOP,
    Worker,
    World,
    create,
    find_untyped,
)

BUFFER_BASE = 0x30000000
"""Where IPC buffers are said to be; the kernel uses only the offset in the frame."""
GUARD_48 = 48
ROOT_TCB_SLOT = {"ipc": 3, "tcb": 3, "time": 3}
FIRST_TCB, FIRST_SC = 8, 12
DEVICE_BITS = 14


def start(program: dict[str, Any]) -> World:
    """The world in which a program of the groups capspace, vspace, tcb, ipc, memory or faults starts."""
    world = create()
    init = program["init"]
    _root_untyped(world, init["root_untyped_bits"])
    for name, slot in init["extra_caps"].items():
        _extra_cap(world, name, slot)
    root_slot = init.get("root_tcb", ROOT_TCB_SLOT.get(program["group"]))
    if root_slot:
        world.test_copy(root_slot, bi.CAP_INIT_TCB)
    if "root_vspace" in init:
        world.test_copy(init["root_vspace"], bi.CAP_INIT_VSPACE)
    _vspaces(world, init.get("vspaces", []))
    workers = init.get("workers") or [{"prio": prio} for prio in init.get("prios", [])]
    has_buffer = program["group"] != "memory"
    for index, spec in enumerate(workers):
        _worker(world, index, spec["prio"], spec.get("vspace"), has_buffer=has_buffer)
    world.make(world.own(bi.CAP_INIT_TCB), labels.TCB_SET_PRIORITY, [ROOT_PRIORITY], [world.own(bi.CAP_INIT_TCB)])
    for worker in world.workers:
        world.make(tcb_cap(worker.index), labels.TCB_RESUME, [], [])
    return world


def tcb_cap(index: int) -> int:
    """Cap address of worker ``index``'s TCB."""
    return FIRST_TCB + index


def _root_untyped(world: World, bits: int) -> None:
    parent = world.info.untyped[0] + find_untyped(world.info, PARENT_BITS, device=False)
    world.retype(world.own(parent), obj.UNTYPED, bits, world.own(world.test_slot), 2)
    world.root_untyped = _untyped_paddr(world, 2)


def _untyped_paddr(world: World, slot: int) -> int:
    cap = world.test.slot(slot).cap
    assert isinstance(cap, UntypedCap)
    return cap.paddr


_BOOT_CAPS = {
    "asid_control": bi.CAP_ASID_CONTROL, "asid_pool": bi.CAP_INIT_ASID_POOL, "domain": bi.CAP_DOMAIN,
}  # fmt: skip


def _extra_cap(world: World, name: str, slot: int) -> None:
    if name == "device_untyped":
        index = find_untyped(world.info, 0, device=True, base=RAM_TOP)
        untyped = world.own(world.info.untyped[0] + index)
        world.retype(untyped, obj.UNTYPED, DEVICE_BITS, world.own(world.test_slot), slot)
        world.device_untyped = _untyped_paddr(world, slot)
    elif name == "irq_control":
        own = world.own(bi.CAP_INIT_CNODE)
        world.make(world.own(world.test_slot), labels.CNODE_MOVE, [slot, 6, bi.CAP_IRQ_CONTROL, 64], [own])
    elif name == "sched_control":
        world.test_copy(slot, world.info.sched_control[0])
    else:
        world.test_copy(slot, _BOOT_CAPS[name])


def _vspaces(world: World, specs: list[dict[str, Any]]) -> None:
    """VSpaces in which only the workers' code page is mapped, through a hidden table for the first GiB."""
    code_page = world.new(obj.MEGA_PAGE) if specs else 0
    for spec in specs:
        pool = world.own(bi.CAP_INIT_ASID_POOL)
        if spec["pool"] != "root":
            pool = spec["pool"]
            untyped = world.new(obj.UNTYPED, obj.ASID_POOL_BITS)
            caps = [world.own(untyped), world.own(world.test_slot)]
            world.make(world.own(bi.CAP_ASID_CONTROL), labels.ASID_CONTROL_MAKE_POOL, [pool, 6], caps)
        world.retype(world.own(world.hidden), obj.PAGE_TABLE, 0, world.own(world.test_slot), spec["slot"])
        world.make(pool, labels.ASID_POOL_ASSIGN, [], [spec["slot"]])
        table, frame = world.new(obj.PAGE_TABLE), world.slot()
        world.copy(world.own(bi.CAP_INIT_CNODE), frame, 64, code_page)
        world.make(world.own(table), labels.PAGE_TABLE_MAP, [CODE, 0], [spec["slot"]])
        world.make(world.own(frame), labels.PAGE_MAP, [CODE, 3, 0], [spec["slot"]])


def _worker(world: World, index: int, priority: int, vspace: int | None, *, has_buffer: bool) -> None:
    test = world.own(world.test_slot)
    tcb_slot, sc_slot = FIRST_TCB + index, FIRST_SC + index
    world.retype(world.own(world.hidden), obj.TCB, 0, test, tcb_slot)
    world.retype(world.own(world.hidden), obj.SCHED_CONTEXT, 8, test, sc_slot)
    control = world.new(obj.NOTIFICATION)
    configure_sc(world, sc_slot, TEN_SECONDS_US, TEN_SECONDS_US, 0, 0, 0)
    tcb = configure_thread(world, tcb_slot, sc_slot, priority, MAX_PRIORITY, vspace, has_buffer=has_buffer)
    registers = tcb.registers
    registers[reg.TP] = TP + index
    registers[reg.FAULT_IP] = registers[reg.NEXT_IP] = WORKER_LOOP
    world.workers.append(Worker(index, tcb, world.own(control)))


def configure_sc(world: World, sc: int, budget: int, period: int, extra: int, badge: int, flags: int) -> None:
    """Fill the scheduling context at cap address ``sc`` with time, in us."""
    control = world.own(world.info.sched_control[0])
    world.make(control, labels.SCHED_CONTROL_CONFIGURE_FLAGS, [budget, period, extra, badge, flags], [sc])


def configure_thread(
    world: World, tcb: int, sc: int, priority: int, mcp: int, vspace: int | None, *, has_buffer: bool
) -> TCB:
    """Give a thread the recordings' CSpace, an address space, priorities, time, and perhaps an IPC buffer."""
    null = world.own(world.slot())
    root_vspace = world.own(bi.CAP_INIT_VSPACE)
    buffer = world.own(world.new(obj.PAGE)) if has_buffer else null
    address = BUFFER_BASE if has_buffer else 0
    roots = [world.own(world.c0_slot), root_vspace if vspace is None else vspace, buffer]
    world.make(tcb, labels.TCB_CONFIGURE, [GUARD_48, 0, address], roots)
    authority = world.own(bi.CAP_INIT_TCB)
    world.make(tcb, labels.TCB_SET_SCHED_PARAMS, [mcp, priority], [authority, sc, null])
    cap = world.test.slot(tcb).cap
    assert isinstance(cap, ThreadCap)
    return cap.tcb
