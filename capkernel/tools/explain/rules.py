"""The table of rules, and the diagnosis of a refused invocation."""

from collections.abc import Callable

from capkernel.abi import iospace as io
from capkernel.abi import labels
from capkernel.abi import rights as rt
from capkernel.abi.labels import BY_LABEL
from capkernel.kernel.caps import EndpointCap, NotificationCap, ZombieCap
from capkernel.kernel.decode import NOT_BEFORE_RECEIVE
from capkernel.kernel.errors import SyscallError
from capkernel.kernel.invocations.call import Call
from capkernel.kernel.objects import NULL, Slot
from capkernel.kernel.state import State
from capkernel.tools.explain import rules_cnode as cnode
from capkernel.tools.explain import rules_memory as memory
from capkernel.tools.explain import rules_tcb as tcb
from capkernel.tools.explain import rules_time as time
from capkernel.tools.explain.case import Case, Verdicts, kind_of, specs_of
from capkernel.tools.explain.census import place_of
from capkernel.tools.explain.describe import kind_name
from capkernel.tools.explain.missing import Missing, Nothing, Right, SystemCall
from capkernel.tools.explain.walk import Walk, holds_nothing

Rule = Callable[[Case], Verdicts]

RULES: dict[int, Rule] = {
    labels.UNTYPED_RETYPE: cnode.retype,
    labels.TCB_READ_REGISTERS: tcb.read_registers, labels.TCB_WRITE_REGISTERS: tcb.write_registers,
    labels.TCB_COPY_REGISTERS: tcb.copy_registers, labels.TCB_CONFIGURE: tcb.configure,
    labels.TCB_SET_PRIORITY: tcb.set_priority, labels.TCB_SET_MC_PRIORITY: tcb.set_priority,
    labels.TCB_SET_SCHED_PARAMS: tcb.set_sched_params, labels.TCB_SET_TIMEOUT_ENDPOINT: tcb.set_timeout_endpoint,
    labels.TCB_SET_IPC_BUFFER: tcb.set_ipc_buffer, labels.TCB_SET_SPACE: tcb.set_space,
    labels.TCB_BIND_NOTIFICATION: tcb.bind_notification, labels.TCB_UNBIND_NOTIFICATION: tcb.unbind_notification,
    labels.TCB_SET_TLS_BASE: tcb.plain, labels.TCB_SET_FLAGS: tcb.plain,
    labels.CNODE_REVOKE: cnode.single_target, labels.CNODE_DELETE: cnode.single_target,
    labels.CNODE_CANCEL_BADGED_SENDS: cnode.single_target, labels.CNODE_COPY: cnode.insert,
    labels.CNODE_MINT: cnode.insert, labels.CNODE_MOVE: cnode.insert, labels.CNODE_MUTATE: cnode.insert,
    labels.CNODE_ROTATE: cnode.rotate,
    labels.IRQ_CONTROL_GET: cnode.issue_handler, labels.IRQ_CONTROL_GET_TRIGGER: cnode.issue_handler,
    labels.IRQ_HANDLER_SET_NOTIFICATION: cnode.set_notification,
    labels.DOMAIN_SET_SET: time.set_domain, labels.DOMAIN_SCHEDULE_CONFIGURE: time.schedule_configure,
    labels.DOMAIN_SCHEDULE_SET_START: time.schedule_set_start,
    labels.SCHED_CONTROL_CONFIGURE_FLAGS: time.configure, labels.SCHED_CONTEXT_BIND: time.bind,
    labels.SCHED_CONTEXT_UNBIND: time.unbind, labels.SCHED_CONTEXT_UNBIND_OBJECT: time.unbind_object,
    labels.SCHED_CONTEXT_YIELD_TO: time.yield_to,
    labels.PAGE_TABLE_MAP: memory.page_table_map, labels.PAGE_TABLE_UNMAP: memory.page_table_unmap,
    labels.PAGE_MAP: memory.page_map,
    labels.ASID_CONTROL_MAKE_POOL: memory.make_pool, labels.ASID_POOL_ASSIGN: memory.assign,
    io.IO_PAGE_TABLE_MAP: memory.io_map, io.PAGE_MAP_IO: memory.io_map,
}  # fmt: skip


def diagnose(
    state: State, call: Call, slot: Slot, error: SyscallError, *, used: str, first_phase: bool
) -> tuple[Missing, list[Walk]]:
    """What was missing for a refused invocation of the cap in ``slot``, and the slots looked up besides."""
    cap = slot.cap
    if isinstance(cap, EndpointCap | NotificationCap):
        return Right(place_of(slot), cap.rights, cap.rights | rt.WRITE), []
    if first_phase and isinstance(cap, NOT_BEFORE_RECEIVE):
        return SystemCall(used, ("Send", "Call")), []
    spec = BY_LABEL.get(call.label)
    offered = specs_of(kind_name(cap))
    if spec is None and cap is NULL:
        # A message that no kernel object understands is meant for an endpoint.
        return holds_nothing(slot, "Endpoint", that="with right W"), []
    if spec is None or (spec.label in _EXTENSION and not state.config.has_iommu):
        return Nothing(f"there is no invocation with label {call.label} here", offered), []
    if kind_name(cap) != kind_of(spec):
        if cap is NULL or isinstance(cap, ZombieCap) or offered:
            return holds_nothing(slot, kind_of(spec)), []
        return Nothing("a cap of this kind is never invoked", ()), []
    rule = RULES.get(spec.label)
    case = Case(state, call.thread, call, slot, cap, spec)
    for code, missing in rule(case) if rule else ():
        # The kernel stopped at its first failing check; if ours has another code, we do not know better.
        return (missing if code == error.code else Missing()), case.walks
    return Missing(), case.walks


_EXTENSION = (io.IO_PAGE_TABLE_MAP, io.IO_PAGE_TABLE_UNMAP, io.PAGE_MAP_IO)
