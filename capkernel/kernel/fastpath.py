"""The IPC fast path: a short Call to a waiting passive server, and that server's answer.

It answers exactly as the slow path would, or not at all: each function, called when the clock has just been read,
returns False before it has changed anything if the case is not the simple one. What makes it simple is that the
caller's time travels with the message, so nothing is charged and the timer stays as it is.
"""

from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.kernel.caps import EndpointCap, ReplyCap
from capkernel.kernel.cspace import lookup_slot
from capkernel.kernel.errors import LookupFault
from capkernel.kernel.objects import (
    EP_RECEIVE,
    EP_SEND,
    NTFN_ACTIVE,
    NULL,
    RUNNING,
    TCB,
    BlockedOnReceive,
    BlockedOnReply,
    Cap,
    SchedContext,
)
from capkernel.kernel.scheduler import release_time
from capkernel.kernel.state import RESUME_CURRENT, State
from capkernel.kernel.vspace import set_vm_root

SHORT_MESSAGES = frozenset(range(5))
"""The low 9 bits of a message info with at most four words and no extra caps."""


def _cap(thread: TCB, address: int) -> Cap:
    """The cap at an address, ``NULL`` if there is none."""
    try:
        return lookup_slot(thread, address).cap
    except LookupFault:
        return NULL


def _ready_to_switch(state: State, to: TCB) -> bool:
    """Whether ``to`` would be chosen right now, on the current thread's time, with nothing else due."""
    sc = state.current_sc
    release = state.release.head
    if state.reprogram or state.action != RESUME_CURRENT or state.domain_time == 0:
        return False
    if release is not None and release_time(release) <= state.time:
        return False
    head = sc.refills[0]
    return (
        head.amount - state.consumed >= state.min_budget
        and head.time <= state.time
        and sc.tcb is state.current
        and to.sched_context is None
        and to.yield_to is None
        and to.domain == state.domain
        and state.ready_bitmap[to.domain].bit_length() <= to.priority + 1
    )


def _switch(state: State, sc: SchedContext, to: TCB, info: int, badge: int) -> None:
    """Give ``to`` the message, the time and the processor."""
    thread = state.current
    source, target = thread.registers, to.registers
    for register in reg.MSG_REGISTERS[: info & 7]:
        target[register] = source[register]
    target[reg.MSG_INFO_REGISTER] = info >> 12 << 12 | info & 7
    target[reg.BADGE_REGISTER] = badge
    to.state = RUNNING
    thread.sched_context = None
    to.sched_context = sc
    sc.tcb = to
    set_vm_root(state, to)
    state.current = to


def call(state: State) -> bool:
    """A Call whose receiver waits with a reply object and has no time of its own."""
    thread = state.current
    registers = thread.registers
    info = registers[reg.MSG_INFO_REGISTER]
    if info & 511 not in SHORT_MESSAGES:
        return False
    try:
        cap = lookup_slot(thread, registers[reg.CAP_REGISTER]).cap
    except LookupFault:
        return False
    if not isinstance(cap, EndpointCap) or thread.fault is not None:
        return False
    endpoint = cap.endpoint
    server = endpoint.queue.head
    if not cap.rights & rt.WRITE or not cap.rights & rt.CALL_GRANTS or endpoint.state != EP_RECEIVE or server is None:
        return False
    waiting = server.state
    reply = waiting.reply if isinstance(waiting, BlockedOnReceive) else None
    sc = thread.sched_context
    if reply is None or sc is None or sc is not state.current_sc or not _ready_to_switch(state, server):
        return False
    endpoint.dequeue(server)
    reply.tcb = thread
    thread.state = BlockedOnReply(reply)
    below = sc.reply
    if below is not None:
        below.next = reply
    reply.prev, reply.next, sc.reply = below, sc, reply
    _switch(state, sc, server, info, cap.badge)
    return True


def reply_recv(state: State) -> bool:
    """A ReplyRecv that gives the time back to the caller and finds nobody else waiting."""
    thread = state.current
    registers = thread.registers
    info = registers[reg.MSG_INFO_REGISTER]
    answer = _cap(thread, registers[reg.REPLY_REGISTER])
    source = _cap(thread, registers[reg.CAP_REGISTER])
    if info & 511 not in SHORT_MESSAGES or not isinstance(answer, ReplyCap) or not isinstance(source, EndpointCap):
        return False
    reply, sc, notification = answer.reply, state.current_sc, thread.bound_notification
    caller = reply.tcb
    if caller is None or not isinstance(caller.state, BlockedOnReply) or caller.fault is not None:
        return False
    if not source.rights & rt.READ or source.endpoint.state == EP_SEND or reply.next is not sc:
        return False
    if notification is not None and (notification.state == NTFN_ACTIVE or notification.sched_context is sc):
        return False
    if sc.turn_ended or not _ready_to_switch(state, caller):
        return False
    below = reply.prev
    sc.reply = below
    if below is not None:
        below.next = sc
    reply.prev = reply.next = None
    _switch(state, sc, caller, info, 0)
    reply.tcb = thread
    thread.state = BlockedOnReceive(source.endpoint, reply)
    source.endpoint.enqueue(thread, EP_RECEIVE)
    return True
