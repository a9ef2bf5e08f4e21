"""What a system call asks for, judged by the kernel's own look-up and decoding before the kernel performs it.

Both change nothing, so a request can be judged in the very state in which the kernel will judge it.
"""

from attrs import frozen

from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_LABEL
from capkernel.abi.words import WORD_BITS
from capkernel.kernel.caps import EndpointCap, NotificationCap, ReplyCap
from capkernel.kernel.decode import decode
from capkernel.kernel.errors import SyscallError
from capkernel.kernel.invocations.call import Call
from capkernel.kernel.objects import TCB, Slot
from capkernel.kernel.state import State
from capkernel.kernel.vspace import ipc_buffer
from capkernel.tools.explain.case import state_of
from capkernel.tools.explain.census import place_of
from capkernel.tools.explain.describe import invocation_name, thread_name
from capkernel.tools.explain.missing import Missing, Right
from capkernel.tools.explain.rules import diagnose
from capkernel.tools.explain.walk import Walk, holds_nothing, walk


@frozen
class Phase:
    """Half of a system call: send or receive, and which register holds the cap address."""

    sends: bool
    register: int = reg.CAP_REGISTER
    is_call: bool = False
    blocking: bool = True
    combined: bool = False
    with_reply: bool = False


_RECV = Phase(False, with_reply=True)
_WAIT = Phase(False)
PHASES: dict[int, tuple[Phase, ...]] = {
    sc.CALL: (Phase(True, is_call=True),),
    sc.SEND: (Phase(True),),
    sc.NBSEND: (Phase(True, blocking=False),),
    sc.REPLY_RECV: (Phase(True, reg.REPLY_REGISTER, blocking=False, combined=True), _RECV),
    sc.NBSEND_RECV: (Phase(True, reg.NBSEND_DEST_REGISTER, blocking=False, combined=True), _RECV),
    sc.NBSEND_WAIT: (Phase(True, reg.REPLY_REGISTER, blocking=False, combined=True), _WAIT),
    sc.RECV: (_RECV,), sc.NBRECV: (_RECV,), sc.WAIT: (_WAIT,), sc.NBWAIT: (_WAIT,),
}  # fmt: skip


@frozen
class Refused:
    """A request that the kernel will refuse: what it is, and what is missing for it.

    ``error`` is the error that decoding raised, None if the request fails in looking up a cap.
    """

    sends: bool
    operation: str
    arguments: dict[str, int]
    walks: tuple[Walk, ...]
    slot: Slot | None
    error: SyscallError | None
    missing: Missing


def judge(state: State, thread: TCB, number: int) -> list[Refused]:
    """What the kernel will refuse of the system call that a thread is about to make; each half by itself."""
    found = []
    for phase in PHASES.get(number, ()):
        refused = (_judge_send if phase.sends else _judge_receive)(state, thread, phase, sc.NAMES[number])
        if refused is not None:
            found.append(refused)
    return found


def _judge_send(state: State, thread: TCB, phase: Phase, name: str) -> Refused | None:
    """As ``syscall._invoke`` does: the invoked cap, the extra caps, then decoding."""
    info = thread.registers[reg.MSG_INFO_REGISTER]
    label = BY_LABEL.get(msg.info_label(info))
    path = walk(thread.cspace_slot, thread.registers[phase.register], WORD_BITS, "invoked cap")
    slot = path.slot
    if slot is None or path.missing is not None:
        operation = label.name if label else "send"
        return Refused(True, f"{name}: {operation}", {}, (path,), None, None, path.missing or Missing())
    operation = f"{name}: {invocation_name(info, slot.cap)}"
    buffer = ipc_buffer(thread, for_writing=False)
    walks = [path, *_extra_walks(state, thread, buffer, info)]
    for extra in walks:
        if extra.missing is not None:
            return Refused(True, operation, {}, tuple(walks), slot, None, extra.missing)
    length = msg.info_length(info) if buffer else min(msg.info_length(info), msg.N_MSG_REGISTERS)
    extras = [extra.slot for extra in walks[1:] if extra.slot is not None]
    call = Call(state, thread, msg.info_label(info), length, buffer, extras)
    try:
        decode(
            state, call, slot, blocking=phase.blocking, is_call=phase.is_call, can_donate=False,
            first_phase=phase.combined,
        )  # fmt: skip
    except SyscallError as error:
        missing, more = diagnose(state, call, slot, error, used=name, first_phase=phase.combined)
        return Refused(True, operation, _arguments(call, slot), (*walks, *more), slot, error, missing)
    return None


def _extra_walks(state: State, thread: TCB, buffer: int, info: int) -> list[Walk]:
    """The paths to the extra caps, up to the first that fails; none without a buffer."""
    walks: list[Walk] = []
    spec = BY_LABEL.get(msg.info_label(info))
    names = spec.caps if spec else ()
    for index in range(msg.info_extra_caps(info) if buffer else 0):
        address = state.machine.read_word(buffer + msg.BUFFER_CAPS + 8 * index)
        what = f"extra cap {names[index]}" if index < len(names) else f"extra cap {index}"
        walks.append(walk(thread.cspace_slot, address, WORD_BITS, what))
        if walks[-1].missing is not None:
            break
    return walks


def _arguments(call: Call, slot: Slot) -> dict[str, int]:
    """The message words by the names that the invocation gives them, as many as were sent."""
    spec = BY_LABEL.get(call.label)
    if isinstance(slot.cap, EndpointCap | NotificationCap | ReplyCap) or spec is None:
        return {}
    return {name: call.arg(index) for index, name in enumerate(spec.words[: call.length])}


def _judge_receive(state: State, thread: TCB, phase: Phase, name: str) -> Refused | None:
    """As ``syscall._receive`` does: whatever is wrong is a cap fault."""
    path = walk(thread.cspace_slot, thread.registers[phase.register], WORD_BITS, "endpoint or notification")
    walks = [path]
    missing, slot = path.missing, path.slot
    if slot is not None and missing is None:
        missing = _unfit(thread, slot)
        if missing is None and phase.with_reply and isinstance(slot.cap, EndpointCap):
            walks.append(walk(thread.cspace_slot, thread.registers[reg.REPLY_REGISTER], WORD_BITS, "reply object"))
            missing, slot = walks[-1].missing, walks[-1].slot
            if slot is not None and not isinstance(slot.cap, ReplyCap):
                missing = holds_nothing(slot, "Reply")
    if missing is None:
        return None
    return Refused(False, f"{name}: receive", {}, tuple(walks), slot, None, missing)


def _unfit(thread: TCB, slot: Slot) -> Missing | None:
    """Why one cannot receive from what is in the slot."""
    cap = slot.cap
    if not isinstance(cap, EndpointCap | NotificationCap):
        return holds_nothing(slot, "Endpoint", "Notification", that="with right R")
    if not cap.rights & rt.READ:
        return Right(place_of(slot), cap.rights, cap.rights | rt.READ)
    if isinstance(cap, NotificationCap):
        bound, target = cap.notification.bound_tcb, cap.notification
        if bound is not None and bound is not thread:
            remedy = "TCB_UnbindNotification"
            return state_of(target, target.paddr, "bound thread", thread_name(bound), "none", remedy, bound)
    return None
