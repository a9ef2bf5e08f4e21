"""Invocation labels of the MCS RISC-V kernel, and what each takes (libsel4 ``object-api*.xml``).

``INVOCATIONS`` is the table from which user stubs, the trace replayer, the attacker and the reference page are
made: label, name, the kind of cap it is invoked on, message words in order, extra caps in order, result words.
"""

from dataclasses import dataclass
from typing import Final

from capkernel.abi import iospace as io
from capkernel.abi import objects as obj

UNTYPED_RETYPE: Final = 1
TCB_READ_REGISTERS: Final = 2
TCB_WRITE_REGISTERS: Final = 3
TCB_COPY_REGISTERS: Final = 4
TCB_CONFIGURE: Final = 5
TCB_SET_PRIORITY: Final = 6
TCB_SET_MC_PRIORITY: Final = 7
TCB_SET_SCHED_PARAMS: Final = 8
TCB_SET_TIMEOUT_ENDPOINT: Final = 9
TCB_SET_IPC_BUFFER: Final = 10
TCB_SET_SPACE: Final = 11
TCB_SUSPEND: Final = 12
TCB_RESUME: Final = 13
TCB_BIND_NOTIFICATION: Final = 14
TCB_UNBIND_NOTIFICATION: Final = 15
TCB_SET_TLS_BASE: Final = 16
TCB_SET_FLAGS: Final = 17
CNODE_REVOKE: Final = 18
CNODE_DELETE: Final = 19
CNODE_CANCEL_BADGED_SENDS: Final = 20
CNODE_COPY: Final = 21
CNODE_MINT: Final = 22
CNODE_MOVE: Final = 23
CNODE_MUTATE: Final = 24
CNODE_ROTATE: Final = 25
IRQ_CONTROL_GET: Final = 26
IRQ_HANDLER_ACK: Final = 27
IRQ_HANDLER_SET_NOTIFICATION: Final = 28
IRQ_HANDLER_CLEAR: Final = 29
DOMAIN_SET_SET: Final = 30
DOMAIN_SCHEDULE_CONFIGURE: Final = 31
DOMAIN_SCHEDULE_SET_START: Final = 32
SCHED_CONTROL_CONFIGURE_FLAGS: Final = 33
SCHED_CONTEXT_BIND: Final = 34
SCHED_CONTEXT_UNBIND: Final = 35
SCHED_CONTEXT_UNBIND_OBJECT: Final = 36
SCHED_CONTEXT_CONSUMED: Final = 37
SCHED_CONTEXT_YIELD_TO: Final = 38
PAGE_TABLE_MAP: Final = 39
PAGE_TABLE_UNMAP: Final = 40
PAGE_MAP: Final = 41
PAGE_UNMAP: Final = 42
PAGE_GET_ADDRESS: Final = 43
ASID_CONTROL_MAKE_POOL: Final = 44
ASID_POOL_ASSIGN: Final = 45
IRQ_CONTROL_GET_TRIGGER: Final = 46


@dataclass(frozen=True)
class InvocationSpec:
    """One row: ``words`` name the message registers, ``caps`` the extra caps, ``results`` the reply's words."""

    label: int
    name: str
    cap_type: int
    words: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


def _row(label: int, name: str, cap_type: int, words: str = "", caps: str = "", results: str = "") -> InvocationSpec:
    return InvocationSpec(label, name, cap_type, tuple(words.split()), tuple(caps.split()), tuple(results.split()))


_COPY_WORDS = "dest_index dest_depth src_index src_depth"

INVOCATIONS: Final[tuple[InvocationSpec, ...]] = (
    _row(1, "Untyped_Retype", obj.CAP_UNTYPED, "type size_bits node_index node_depth node_offset num_objects", "root"),
    _row(2, "TCB_ReadRegisters", obj.CAP_TCB, "flags count", "", "registers"),
    _row(3, "TCB_WriteRegisters", obj.CAP_TCB, "flags count"),
    _row(4, "TCB_CopyRegisters", obj.CAP_TCB, "flags", "source"),
    _row(5, "TCB_Configure", obj.CAP_TCB, "cspace_root_data vspace_root_data buffer",
         "cspace_root vspace_root bufferFrame"),
    _row(6, "TCB_SetPriority", obj.CAP_TCB, "priority", "authority"),
    _row(7, "TCB_SetMCPriority", obj.CAP_TCB, "mcp", "authority"),
    _row(8, "TCB_SetSchedParams", obj.CAP_TCB, "mcp priority", "authority sched_context fault_ep"),
    _row(9, "TCB_SetTimeoutEndpoint", obj.CAP_TCB, "", "timeout_fault_ep"),
    _row(10, "TCB_SetIPCBuffer", obj.CAP_TCB, "buffer", "bufferFrame"),
    _row(11, "TCB_SetSpace", obj.CAP_TCB, "cspace_root_data vspace_root_data", "fault_ep cspace_root vspace_root"),
    _row(12, "TCB_Suspend", obj.CAP_TCB),
    _row(13, "TCB_Resume", obj.CAP_TCB),
    _row(14, "TCB_BindNotification", obj.CAP_TCB, "", "notification"),
    _row(15, "TCB_UnbindNotification", obj.CAP_TCB),
    _row(16, "TCB_SetTLSBase", obj.CAP_TCB, "tls_base"),
    _row(17, "TCB_SetFlags", obj.CAP_TCB, "clear set", "", "flags"),
    _row(18, "CNode_Revoke", obj.CAP_CNODE, "index depth"),
    _row(19, "CNode_Delete", obj.CAP_CNODE, "index depth"),
    _row(20, "CNode_CancelBadgedSends", obj.CAP_CNODE, "index depth"),
    _row(21, "CNode_Copy", obj.CAP_CNODE, _COPY_WORDS + " rights", "src_root"),
    _row(22, "CNode_Mint", obj.CAP_CNODE, _COPY_WORDS + " rights badge", "src_root"),
    _row(23, "CNode_Move", obj.CAP_CNODE, _COPY_WORDS, "src_root"),
    _row(24, "CNode_Mutate", obj.CAP_CNODE, _COPY_WORDS + " badge", "src_root"),
    _row(25, "CNode_Rotate", obj.CAP_CNODE,
         "dest_index dest_depth dest_badge pivot_index pivot_depth pivot_badge src_index src_depth",
         "pivot_root src_root"),
    _row(26, "IRQControl_Get", obj.CAP_IRQ_CONTROL, "irq index depth", "root"),
    _row(27, "IRQHandler_Ack", obj.CAP_IRQ_HANDLER),
    _row(28, "IRQHandler_SetNotification", obj.CAP_IRQ_HANDLER, "", "notification"),
    _row(29, "IRQHandler_Clear", obj.CAP_IRQ_HANDLER),
    _row(30, "DomainSet_Set", obj.CAP_DOMAIN, "domain", "thread"),
    _row(31, "DomainSet_ScheduleConfigure", obj.CAP_DOMAIN, "index domain duration"),
    _row(32, "DomainSet_ScheduleSetStart", obj.CAP_DOMAIN, "index"),
    _row(33, "SchedControl_ConfigureFlags", obj.CAP_SCHED_CONTROL,
         "budget period extra_refills badge flags", "schedcontext"),
    _row(34, "SchedContext_Bind", obj.CAP_SCHED_CONTEXT, "", "cap"),
    _row(35, "SchedContext_Unbind", obj.CAP_SCHED_CONTEXT),
    _row(36, "SchedContext_UnbindObject", obj.CAP_SCHED_CONTEXT, "", "cap"),
    _row(37, "SchedContext_Consumed", obj.CAP_SCHED_CONTEXT, "", "", "consumed"),
    _row(38, "SchedContext_YieldTo", obj.CAP_SCHED_CONTEXT, "", "", "consumed"),
    _row(39, "PageTable_Map", obj.CAP_PAGE_TABLE, "vaddr attr", "vspace"),
    _row(40, "PageTable_Unmap", obj.CAP_PAGE_TABLE),
    _row(41, "Page_Map", obj.CAP_FRAME, "vaddr rights attr", "vspace"),
    _row(42, "Page_Unmap", obj.CAP_FRAME),
    _row(43, "Page_GetAddress", obj.CAP_FRAME, "", "", "paddr"),
    _row(44, "ASIDControl_MakePool", obj.CAP_ASID_CONTROL, "index depth", "untyped root"),
    _row(45, "ASIDPool_Assign", obj.CAP_ASID_POOL, "", "vspace"),
    _row(46, "IRQControl_GetTrigger", obj.CAP_IRQ_CONTROL, "irq trigger index depth", "root"),
)  # fmt: skip

IO_INVOCATIONS: Final[tuple[InvocationSpec, ...]] = (
    _row(io.IO_PAGE_TABLE_MAP, "IOPageTable_Map", io.CAP_IO_PAGE_TABLE, "ioaddr", "iospace"),
    _row(io.IO_PAGE_TABLE_UNMAP, "IOPageTable_Unmap", io.CAP_IO_PAGE_TABLE),
    _row(io.PAGE_MAP_IO, "Page_MapIO", obj.CAP_FRAME, "rights ioaddr", "iospace"),
)

BY_NAME: Final[dict[str, InvocationSpec]] = {row.name: row for row in INVOCATIONS + IO_INVOCATIONS}
BY_LABEL: Final[dict[int, InvocationSpec]] = {row.label: row for row in INVOCATIONS + IO_INVOCATIONS}
