"""Rules for threads: the TCB's own slots, priorities, registers (see ``case``)."""

from capkernel.abi import errors as err
from capkernel.abi import rights as rt
from capkernel.abi.message import IPC_BUFFER_BITS
from capkernel.abi.registers import USER_CONTEXT
from capkernel.abi.words import WORD_BITS, WORD_MASK
from capkernel.kernel.caps import (
    CNodeCap,
    EndpointCap,
    FrameCap,
    NotificationCap,
    PageTableCap,
    SchedContextCap,
    ThreadCap,
    UntypedCap,
    ZombieCap,
)
from capkernel.kernel.fault_delivery import is_valid_handler
from capkernel.kernel.objects import NULL, TCB, Blocked, SchedContext, Slot
from capkernel.kernel.slots import has_children, is_final
from capkernel.tools.explain.case import GUARD_SIZE_MASK, Case, Verdicts, guard_too_long, not_released, state_of
from capkernel.tools.explain.census import place_of
from capkernel.tools.explain.describe import in_words, thread_name
from capkernel.tools.explain.missing import Argument, Authority, Missing, Right, SecondCap
from capkernel.tools.explain.walk import holds_nothing

MAX_PRIORITY = 255


def _tcb(case: Case) -> TCB:
    assert isinstance(case.cap, ThreadCap)
    return case.cap.tcb


def plain(case: Case) -> Verdicts:
    """Operations that only need their arguments."""
    yield from case.too_short()


def read_registers(case: Case) -> Verdicts:
    """TCB_ReadRegisters."""
    yield from case.too_short()
    yield from case.outside("count", 1, len(USER_CONTEXT))
    yield from case.own(_tcb(case))


def write_registers(case: Case) -> Verdicts:
    """TCB_WriteRegisters: the values follow the two named words."""
    yield from case.too_short()
    count = case.word("count")
    if case.call.length - 2 < count:
        if count > len(USER_CONTEXT):
            yield err.TRUNCATED_MESSAGE, Argument("count", count, 0, case.call.length - 2)
        yield err.TRUNCATED_MESSAGE, case.longer(2 + count, 0)
    yield from case.own(_tcb(case))


def copy_registers(case: Case) -> Verdicts:
    """TCB_CopyRegisters."""
    yield from case.too_short()
    yield from case.not_kind(case.extra("source"), err.INVALID_CAPABILITY, "TCB")


def configure(case: Case) -> Verdicts:
    """TCB_Configure: the buffer is checked first."""
    yield from case.too_short()
    yield from _bad_buffer(case)
    yield from _bad_space(case)


def set_space(case: Case) -> Verdicts:
    """TCB_SetSpace."""
    yield from case.too_short()
    yield from _bad_space(case)
    yield from _bad_handler(case.extra("fault_ep"))


def set_ipc_buffer(case: Case) -> Verdicts:
    """TCB_SetIPCBuffer."""
    yield from case.too_short()
    yield from _bad_buffer(case)


def set_timeout_endpoint(case: Case) -> Verdicts:
    """TCB_SetTimeoutEndpoint."""
    yield from case.too_short()
    yield from _bad_handler(case.extra("timeout_fault_ep"))


def _bad_buffer(case: Case) -> Verdicts:
    slot, address = case.extra("bufferFrame"), case.word("buffer")
    if address == 0:
        return
    cap = slot.cap
    if not isinstance(cap, FrameCap) or cap.is_device:
        missing = holds_nothing(slot, "Frame", that="of ordinary memory")
        # The kernel derives a copy before it looks at the kind: an untyped in use is refused for its children.
        yield err.REVOKE_FIRST if _is_used_untyped(slot) else err.ILLEGAL_OPERATION, missing
    if address & (1 << IPC_BUFFER_BITS) - 1:
        yield err.ALIGNMENT_ERROR, Argument("buffer", address, 0, WORD_MASK, 1 << IPC_BUFFER_BITS)


def _is_used_untyped(slot: Slot) -> bool:
    return isinstance(slot.cap, UntypedCap) and has_children(slot)


def _bad_space(case: Case) -> Verdicts:
    tcb = _tcb(case)
    for held in (tcb.cspace_slot, tcb.vspace_slot):
        if isinstance(held.cap, ThreadCap | ZombieCap | CNodeCap) and is_final(held):
            yield err.ILLEGAL_OPERATION, SecondCap(place_of(held), in_words(held.cap))
    yield from _bad_cspace(case, case.extra("cspace_root"), case.word("cspace_root_data"))
    slot = case.extra("vspace_root")
    cap = slot.cap
    if not isinstance(cap, PageTableCap) or not cap.is_mapped:
        missing = holds_nothing(slot, "PageTable", that="that is assigned to an ASID")
        yield err.REVOKE_FIRST if _is_used_untyped(slot) else err.ILLEGAL_OPERATION, missing


def _bad_cspace(case: Case, slot: Slot, data: int) -> Verdicts:
    cap = slot.cap
    if not isinstance(cap, CNodeCap):
        missing = holds_nothing(slot, "CNode")
        yield err.REVOKE_FIRST if _is_used_untyped(slot) else err.ILLEGAL_OPERATION, missing
    elif (data & GUARD_SIZE_MASK) + cap.radix > WORD_BITS:
        yield err.ILLEGAL_OPERATION, guard_too_long("cspace_root_data", data, cap)


def _bad_handler(slot: Slot) -> Verdicts:
    if is_valid_handler(slot.cap):
        return
    missing: Missing = holds_nothing(slot, "Endpoint", that="with rights W and G or P")
    if isinstance(slot.cap, EndpointCap):
        held = slot.cap.rights
        grants = held & rt.CALL_GRANTS or rt.GRANT_REPLY
        missing = Right(place_of(slot), held, held | rt.WRITE | grants)
    yield err.INVALID_CAPABILITY, missing


def set_priority(case: Case) -> Verdicts:
    """TCB_SetPriority, TCB_SetMCPriority."""
    yield from case.too_short()
    yield from case.not_kind(case.extra("authority"), err.INVALID_CAPABILITY, "TCB")
    yield from _too_high(case, case.spec.words[0])


def _too_high(case: Case, name: str) -> Verdicts:
    cap = case.extra("authority").cap
    assert isinstance(cap, ThreadCap)
    priority, mcp = case.word(name), cap.tcb.mcp
    if priority > MAX_PRIORITY and priority > mcp:
        yield err.RANGE_ERROR, Argument(name, priority, 0, mcp)
    if priority > mcp:
        yield err.RANGE_ERROR, Authority(thread_name(cap.tcb), cap.tcb.paddr, mcp, priority)


def set_sched_params(case: Case) -> Verdicts:
    """TCB_SetSchedParams."""
    yield from case.too_short()
    yield from case.not_kind(case.extra("authority"), err.INVALID_CAPABILITY, "TCB")
    yield from _too_high(case, "mcp")
    yield from _too_high(case, "priority")
    yield from _bad_sched_context(case, case.extra("sched_context"))
    yield from _bad_handler(case.extra("fault_ep"))


def _bad_sched_context(case: Case, slot: Slot) -> Verdicts:
    tcb = _tcb(case)
    if slot.cap is NULL:
        # Without a scheduling context the caller would stop in the middle of its own call.
        yield from case.own(tcb)
        return
    yield from case.not_kind(slot, err.INVALID_CAPABILITY, "SchedContext")
    assert isinstance(slot.cap, SchedContextCap)
    sc = slot.cap.sched_context
    if tcb.sched_context is not sc:
        yield from both_unbound(tcb, sc)
    if isinstance(tcb.state, Blocked):
        yield from not_released(case.state, sc)


def both_unbound(tcb: TCB, sc: SchedContext) -> Verdicts:
    """Neither the thread nor the scheduling context may be bound."""
    remedy = "SchedContext_UnbindObject"
    if tcb.sched_context is not None:
        found = f"SchedContext@{tcb.sched_context.paddr:#x}"
        what = state_of(tcb, tcb.paddr, "scheduling context", found, "none", remedy, tcb.sched_context)
        yield err.ILLEGAL_OPERATION, what
    if sc.tcb is not None:
        yield err.ILLEGAL_OPERATION, state_of(sc, sc.paddr, "thread", thread_name(sc.tcb), "none", remedy)


def bind_notification(case: Case) -> Verdicts:
    """TCB_BindNotification."""
    yield from case.too_short()
    tcb, slot = _tcb(case), case.extra("notification")
    if tcb.bound_notification is not None:
        found = f"Notification@{tcb.bound_notification.paddr:#x}"
        what = state_of(tcb, tcb.paddr, "bound notification", found, "none", "TCB_UnbindNotification")
        yield err.ILLEGAL_OPERATION, what
    yield from case.not_kind(slot, err.ILLEGAL_OPERATION, "Notification", that="with right R")
    assert isinstance(slot.cap, NotificationCap)
    if not slot.cap.rights & rt.READ:
        yield err.ILLEGAL_OPERATION, Right(place_of(slot), slot.cap.rights, slot.cap.rights | rt.READ)
    target = slot.cap.notification
    if target.queue.head is not None:
        waits = thread_name(target.queue.head)
        what = state_of(target, target.paddr, "waiting threads", waits, "none", "Signal")
        yield err.ILLEGAL_OPERATION, what
    if target.bound_tcb is not None:
        owner = target.bound_tcb
        found = thread_name(owner)
        what = state_of(target, target.paddr, "bound thread", found, "none", "TCB_UnbindNotification", owner)
        yield err.ILLEGAL_OPERATION, what


def unbind_notification(case: Case) -> Verdicts:
    """TCB_UnbindNotification."""
    tcb = _tcb(case)
    if tcb.bound_notification is None:
        what = state_of(tcb, tcb.paddr, "bound notification", "none", "any", "TCB_BindNotification")
        yield err.ILLEGAL_OPERATION, what
