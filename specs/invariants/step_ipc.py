"""What a step does with messages and signals: T8, T13.

Catches: a message to the wrong thread, twice, or to nobody although somebody waited; a wrong badge, length or word; a
cap that moves without Grant; a sender queued with other rights than its cap had; a signal that is lost.
"""

from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import TCB, Cap, Notification
from specs.invariants.parts import parts
from specs.invariants.step import COMBINED, Request, Step
from specs.invariants.step_faults import compare_fault
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import View, name_of

_RECEIVERS = frozenset((sc.RECV, sc.NBRECV, sc.WAIT, sc.NBWAIT))


def messages_arrive_once(step: Step) -> str | None:
    """T8: a message is delivered once or an error is returned, never both.

    It goes to the thread that waited longest at the highest priority; badge, label, words and length are the
    sender's, cut to four words if either side has no buffer, and the length says so; caps move only with Grant.
    """
    if not step.executed:
        return None
    request = step.request
    if request.sends:
        return _check_sending(step, step.cap(request.target))
    if request.number in _RECEIVERS:
        return _check_receiving(step, step.cap(request.registers[reg.CAP_REGISTER]))
    return None


def _check_sending(step: Step, cap: Cap) -> str | None:
    if isinstance(cap, kc.ReplyCap):
        return _check_reply(step, cap)
    if not isinstance(cap, kc.EndpointCap) or not cap.rights & rt.WRITE or _misses_caps(step):
        return None
    queue = step.before.of(cap.endpoint, "queue")
    tag = step.before.of(cap.endpoint, "state")
    if tag == ko.EP_RECEIVE:
        receiver = queue[0]
        if receiver.state is not ko.RUNNING:
            return f"{name_of(receiver)} waited for the message and is {type(receiver.state).__name__} now"
        sent = step.request
        return _compare(step, step.caller, sent, receiver, cap.badge, bool(cap.rights & rt.GRANT))
    if step.request.number in (sc.SEND, sc.CALL):
        return _check_blocked(step, cap)
    if step.request.number not in COMBINED and step.caller.state is not ko.RUNNING:
        return "a non-blocking send blocked its caller"
    return None


def _misses_caps(step: Step) -> bool:
    """Whether an extra cap leads nowhere: then there is a cap fault, or with a non-blocking call nothing."""
    return any(step.slot(address) is None for address in step.request.caps)


def _check_blocked(step: Step, cap: kc.EndpointCap) -> str | None:
    """The caller is queued, with exactly what its cap allowed."""
    state = step.caller.state
    if not isinstance(state, ko.BlockedOnSend) or state.endpoint is not cap.endpoint:
        return f"the caller should wait on {name_of(cap.endpoint)} and is {type(state).__name__}"
    allowed = bool(cap.rights & rt.GRANT), bool(cap.rights & rt.GRANT_REPLY)
    seen = state.can_grant, state.can_grant_reply
    if (state.badge, *seen, state.is_call) != (cap.badge, *allowed, step.request.number == sc.CALL):
        return f"the caller is queued with badge {state.badge:#x}, grant {seen}, call {state.is_call}"
    return None


def _check_reply(step: Step, cap: kc.ReplyCap) -> str | None:
    """An answer goes to the one who waits on the reply object, if it is no fault that waits."""
    receiver = step.before.of(cap.reply, "tcb")
    if receiver is None or receiver is step.caller or _misses_caps(step):
        return None
    waiting = step.before.of(receiver, "state")
    if not isinstance(waiting, ko.BlockedOnReply) or step.before.of(receiver, "fault") is not None:
        return None
    if receiver.state is waiting:
        return f"{name_of(receiver)} still waits for the answer"
    if receiver.fault is not None:
        return None  # Answered, and at once faulted for want of budget: the message is in its registers all the same.
    return _compare(step, step.caller, step.request, receiver, 0, cap.can_grant)


def _check_receiving(step: Step, cap: Cap) -> str | None:
    """The first queued sender's message, unless a bound notification comes first."""
    caller = step.caller
    if not isinstance(cap, kc.EndpointCap) or not cap.rights & rt.READ:
        return None
    with_reply = step.request.number in (sc.RECV, sc.NBRECV)
    reply = step.cap(step.request.registers[reg.REPLY_REGISTER]) if with_reply else None
    if with_reply and not isinstance(reply, kc.ReplyCap):
        return None
    bound = step.before.of(caller, "bound_notification")
    if bound is not None and step.before.of(bound, "state") == ko.NTFN_ACTIVE:
        return None
    queue = list(step.before.of(cap.endpoint, "queue"))
    if step.before.of(cap.endpoint, "state") != ko.EP_SEND:
        return None
    if isinstance(reply, kc.ReplyCap):
        # Using a reply object again first drops who waits with it, perhaps in this very queue.
        dropped = step.before.of(reply.reply, "tcb")
        queue = [thread for thread in queue if thread is not dropped or thread is caller]
    if not queue:
        return None
    sender = queue[0]
    queued = step.before.of(sender, "state")
    fault = step.before.of(sender, "fault")
    if fault is not None:
        return compare_fault(step, fault, sender, caller, queued.badge)
    return _compare(step, sender, step.queued[sender], caller, queued.badge, queued.can_grant)


def _compare(step: Step, sender: TCB, sent: Request, receiver: TCB, badge: int, can_grant: bool) -> str | None:
    """Hold what the receiver got against what was sent."""
    registers = receiver.registers
    info = registers[reg.MSG_INFO_REGISTER]
    into, writable = step.buffers[receiver]
    out, _ = step.buffers[sender]
    length = msg.info_length(sent.info)
    if length > msg.N_MSG_REGISTERS and not (out and into and writable):
        length = msg.N_MSG_REGISTERS
    if registers[reg.BADGE_REGISTER] != badge:
        return f"badge {registers[reg.BADGE_REGISTER]:#x} arrived instead of {badge:#x}"
    if (msg.info_label(info), info & msg.LENGTH_MASK) != (sent.label, length):
        return f"info {info:#x} arrived; sent {sent.info:#x}, of which {length} words fit"
    if not can_grant and (msg.info_extra_caps(info) or msg.info_caps_unwrapped(info)):
        return f"caps arrived without grant: info {info:#x}"
    if msg.info_extra_caps(info) > len(sent.caps):
        return f"{msg.info_extra_caps(info)} caps arrived of {len(sent.caps)}"
    return _compare_words(step.after, sent, receiver, into, length)


def _compare_words(after: View, sent: Request, receiver: TCB, into: int, length: int) -> str | None:
    words = [receiver.registers[r] for r in reg.MSG_REGISTERS[:length]]
    read = after.machine.memory.read_word
    words += [read(into + msg.BUFFER_MSG + 8 * n) for n in range(msg.N_MSG_REGISTERS, length)]
    if words != sent.words[:length]:
        wrong = next(n for n, (a, b) in enumerate(zip(words, sent.words, strict=False)) if a != b)
        return f"word {wrong} of {length} arrived as {words[wrong]:#x} instead of {sent.words[wrong]:#x}"
    return None


_RESUMES = (labels.TCB_RESUME, labels.TCB_WRITE_REGISTERS, labels.TCB_COPY_REGISTERS)


def faults_are_heard_or_stop(step: Step) -> str | None:
    """T8b: a thread whose fault is queued goes on only if somebody took the message, or resumed it by its TCB.

    When the endpoint goes away instead, or such sends are cancelled, the thread stops (``FACTS2.md``, 22).
    """
    target = step.cap(step.request.target) if step.executed else ko.NULL
    resumed = target.tcb if isinstance(target, kc.ThreadCap) and step.request.label in _RESUMES else None
    for thread in step.queued:
        if step.before.of(thread, "fault") is None or thread is resumed or thread.fault is not None:
            continue
        if thread.state in (ko.RUNNING, ko.RESTART):
            return f"{name_of(thread)} goes on, though nobody heard of its fault"
    return None


def signals_are_not_lost(step: Step) -> str | None:
    """T13: signals OR in; none is lost.

    Pending bits leave a notification only to a thread that receives from it (or is bound to it), or with the
    notification. A signal that is sent is pending afterwards, or in the register of the thread that it woke.
    """
    signalled = _signalled(step)
    for item in step.after.of_kind(Notification):
        old = step.before.objects.get(item)
        if old is None:
            continue
        pending = old["badge"] if old["state"] == ko.NTFN_ACTIVE else 0
        due = pending | signalled.get(item, 0)
        left = item.badge if item.state == ko.NTFN_ACTIVE else 0
        if due & ~left and not _was_taken(step, item, due):
            return f"{name_of(item)}: {due:#x} was due, {left:#x} is left, and nobody took the rest"
        if left & ~due:
            return f"{name_of(item)}: {left:#x} is pending, but only {due:#x} was signalled"
    return None


def _signalled(step: Step) -> dict[Notification, int]:
    """What was sent to which notification: by the caller, or by an interrupt."""
    found: dict[Notification, int] = {}
    sent: list[Cap] = []
    if step.executed and step.request.sends and not _misses_caps(step):
        sent.append(step.cap(step.request.target))
    for effect in step.recorder.effects:
        if effect[0] == "claim_irq":
            irq = step.recorder.claimed
            slot = step.state.irq_slots.slots.get(irq)
            sent.append(step.before.cap(slot))
    for cap in sent:
        if isinstance(cap, kc.NotificationCap) and cap.rights & rt.WRITE:
            found[cap.notification] = found.get(cap.notification, 0) | cap.badge
    return found


def _was_taken(step: Step, item: Notification, due: int) -> bool:
    """Whether a thread that waited, is bound, or just received has the bits in its register."""
    waited = step.before.of(item, "queue")
    takers = [*waited[:1], step.before.of(item, "bound_tcb"), item.bound_tcb]
    woken = [t for t in takers if t is not None and step.before.of(t, "state") is not t.state]
    if step.executed and step.request.receives:
        woken.append(step.caller)
    return any(thread.registers[reg.BADGE_REGISTER] & due == due for thread in woken)


CHECKS = (
    StepInvariant("T8", "messages_arrive_once", "a message is delivered once, whole, with the right badge, or refused",
                  messages_arrive_once),
    StepInvariant("T8b", "faults_are_heard_or_stop", "a thread whose fault is queued goes on only if somebody took it",
                  faults_are_heard_or_stop, reads=parts("TCB.state")),
    StepInvariant("T13", "signals_are_not_lost", "signals OR in; none is lost", signals_are_not_lost),
)  # fmt: skip
