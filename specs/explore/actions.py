"""What a thread may do at its turn, as a line of words: ``Call ep0``, ``ReplyRecv ep0 reply0``, ``Suspend tcb1``.

Names of objects are those of ``specs.programs.SLOTS``; every message is empty.
"""

from dataclasses import dataclass

from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from specs.programs import SLOTS, Syscall
from specs.programs.layout import TEST_BITS

_NO_SYSCALL = 999
"""A number that means nothing: the thread faults."""
_ONE_CAP = {"Send": sc.SEND, "NBSend": sc.NBSEND, "Call": sc.CALL, "Signal": sc.SEND, "Reply": sc.SEND,
            "Wait": sc.WAIT, "Poll": sc.NBWAIT}  # fmt: skip
_WITH_REPLY = {"Recv": sc.RECV, "NBRecv": sc.NBRECV, "ReplyRecv": sc.REPLY_RECV}
_INVOCATIONS = {
    "Suspend": labels.TCB_SUSPEND, "Resume": labels.TCB_RESUME, "UnbindNotification": labels.TCB_UNBIND_NOTIFICATION,
    "Unbind": labels.SCHED_CONTEXT_UNBIND, "YieldTo": labels.SCHED_CONTEXT_YIELD_TO,
}  # fmt: skip
_WITH_CAP = {
    "BindNotification": labels.TCB_BIND_NOTIFICATION, "Bind": labels.SCHED_CONTEXT_BIND,
    "UnbindObject": labels.SCHED_CONTEXT_UNBIND_OBJECT,
}  # fmt: skip
_ON_SLOT = {"Delete": labels.CNODE_DELETE, "Revoke": labels.CNODE_REVOKE,
            "CancelBadgedSends": labels.CNODE_CANCEL_BADGED_SENDS}  # fmt: skip
LONG = ("Delete", "Revoke")
"""What has preemption points."""
WORDS = {
    **dict.fromkeys(_ONE_CAP, 1), **dict.fromkeys(_WITH_REPLY, 2), **dict.fromkeys(_INVOCATIONS, 1),
    **dict.fromkeys(_WITH_CAP, 2), **dict.fromkeys(_ON_SLOT, 1),
    "NBSendRecv": 3, "NBSendWait": 2, "SetPriority": 2, "Yield": 0, "Fault": 0, "Ack": 0,
}  # fmt: skip
"""Each verb, and how many words follow it."""


class ActionError(ValueError):
    """A line that says nothing a thread can do."""


@dataclass(frozen=True)
class Action:
    """A line taken apart."""

    verb: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.verb, *self.words))


def parse(line: str) -> Action:
    """An action from its line. Raises ActionError for what is not understood."""
    verb, *words = line.split()
    if verb not in WORDS:
        raise ActionError(f"{line!r}: a thread cannot {verb!r}; it can {', '.join(sorted(WORDS))}")
    if len(words) != WORDS[verb]:
        raise ActionError(f"{line!r}: {verb} is followed by {WORDS[verb]} words")
    names = words[:1] if verb == "SetPriority" else words
    unknown = [name for name in names if name not in SLOTS]
    if unknown:
        raise ActionError(f"{line!r}: there is no object named {unknown[0]!r}")
    return Action(verb, tuple(words))


def syscall_of(action: Action, thread: int | None = None) -> Syscall:
    """The system call that does it, as a step of a program; ``thread`` says whose."""
    verb = action.verb
    if verb == "SetPriority":
        tcb, priority = SLOTS[action.words[0]], int(action.words[1])
        return Syscall(sc.CALL, tcb, labels.TCB_SET_PRIORITY, (priority,), (SLOTS["tcb_root"],), thread=thread)
    names = [SLOTS[word] for word in action.words]
    if verb in _ONE_CAP:
        return Syscall(_ONE_CAP[verb], names[0], thread=thread)
    if verb in _WITH_REPLY:
        return Syscall(_WITH_REPLY[verb], names[0], reply=names[1], thread=thread)
    if verb == "NBSendRecv":
        return Syscall(sc.NBSEND_RECV, names[1], dest=names[0], reply=names[2], thread=thread)
    if verb == "NBSendWait":
        return Syscall(sc.NBSEND_WAIT, names[1], dest=names[0], thread=thread)
    if verb in _INVOCATIONS:
        return Syscall(sc.CALL, names[0], _INVOCATIONS[verb], thread=thread)
    if verb in _WITH_CAP:
        return Syscall(sc.CALL, names[0], _WITH_CAP[verb], (), (names[1],), thread=thread)
    if verb in _ON_SLOT:
        return Syscall(sc.CALL, SLOTS["cnode"], _ON_SLOT[verb], (names[0], TEST_BITS), thread=thread)
    if verb == "Ack":
        return Syscall(sc.CALL, SLOTS["irq_handler"], labels.IRQ_HANDLER_ACK, thread=thread)
    return Syscall(sc.YIELD if verb == "Yield" else _NO_SYSCALL, thread=thread)
