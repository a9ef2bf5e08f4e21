"""What kinds of kernel entries a run has had: what was asked for, of what, and what was answered."""

from collections import Counter

from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.errors import ERROR_NAMES
from capkernel.abi.labels import BY_LABEL
from capkernel.abi.words import signed
from capkernel.kernel import caps as kc
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.errors import LookupFault, SyscallError
from capkernel.kernel.objects import NULL, RUNNING, TCB, Cap, PlainState
from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import ECALL, EXCEPTION, INTERRUPTED, Trap

Kind = tuple[str, str]
"""What was asked for, and the answer."""
_TRAPS = {INTERRUPTED: "interrupt", EXCEPTION: "exception"}
_TARGETS = {
    sc.REPLY_RECV: reg.REPLY_REGISTER, sc.NBSEND_WAIT: reg.REPLY_REGISTER, sc.NBSEND_RECV: reg.NBSEND_DEST_REGISTER,
}  # fmt: skip
_SENDS = frozenset((sc.CALL, sc.SEND, sc.NBSEND, *_TARGETS))
_MESSAGES: dict[type[Cap], str] = {
    kc.EndpointCap: "endpoint", kc.NotificationCap: "notification", kc.ReplyCap: "reply", type(NULL): "no cap",
}  # fmt: skip


class Coverage:
    """Counts the kinds of the kernel entries of a loop, once it is attached to it."""

    def __init__(self) -> None:
        self.kinds: Counter[Kind] = Counter()

    def attach(self, loop: Loop) -> None:
        """Count from now on."""
        self._state = loop.state
        loop.before.append(self._before)
        loop.observers.append(self._after)

    def _before(self, trap: Trap) -> None:
        state = self._state
        self._caller, self._refusal = state.current, state.refusal
        self._asked = _asked(self._caller) if trap.kind == ECALL else _TRAPS.get(trap.kind, "page fault")

    def _after(self, trap: Trap) -> None:
        refusal = self._state.refusal
        if refusal is not self._refusal:
            answer = ERROR_NAMES[refusal.code] if isinstance(refusal, SyscallError) else type(refusal).__name__
        else:
            state = self._caller.state
            answer = "done" if state is RUNNING else state.name if isinstance(state, PlainState) else "blocked"
        self.kinds[self._asked, answer] += 1


def _asked(thread: TCB) -> str:
    """What a thread asks for."""
    registers = thread.registers
    number = signed(registers[reg.SYSCALL_REGISTER])
    if number not in _SENDS:
        return sc.NAMES.get(number, "unknown system call")
    try:
        cap = lookup_cap(thread, registers[_TARGETS.get(number, reg.CAP_REGISTER)])
    except LookupFault:
        return f"{sc.NAMES[number]} to nowhere"
    return _named(number, type(cap), msg.info_label(registers[reg.MSG_INFO_REGISTER]))


def _named(number: int, kind: type[Cap], label: int) -> str:
    """A sending system call, by the cap that it names."""
    if kind in _MESSAGES:
        return f"{sc.NAMES[number]} {_MESSAGES[kind]}"
    spec = BY_LABEL.get(label)
    return "unknown invocation" if spec is None else spec.name
