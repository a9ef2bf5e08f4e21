"""Looking on at a loop, and explaining every kernel entry that ends in a refusal.

    explainer = Explainer(system.loop)
    system.run()
    for explanation in explainer.explanations:
        print(explanation.text())

What a thread is about to ask is judged before the kernel sees it, in the state in which the kernel judges it but for
the clock, which the kernel reads only on entry; what the kernel then really did decides whether there is anything to
explain. Nothing in the kernel is changed, and a
loop without an explainer pays nothing.
"""

from collections.abc import Callable

from capkernel.abi import errors as err
from capkernel.abi import faults as flt
from capkernel.abi import registers as reg
from capkernel.abi.words import signed
from capkernel.kernel.caps import EndpointCap, ReplyCap
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.errors import LookupFault, SyscallError
from capkernel.kernel.objects import (
    INACTIVE,
    NULL,
    TCB,
    CapFault,
    Fault,
    SchedContext,
    Slot,
    Timeout,
    UnknownSyscall,
    UserException,
    VMFault,
)
from capkernel.runtime.loop import Loop
from capkernel.tools.explain import faults
from capkernel.tools.explain.census import ancestors, place_of
from capkernel.tools.explain.describe import in_words, notation, thread_name
from capkernel.tools.explain.explanation import STOPPED, Explanation, Link, Subject
from capkernel.tools.explain.grantors import grantors
from capkernel.tools.explain.missing import Missing
from capkernel.tools.explain.request import PHASES, Refused, judge
from capkernel.tools.explain.walk import Walk
from hwmodel.cpu.trap import ECALL, INTERRUPTED, Trap

KEEP = 10_000


class Explainer:
    """Explains the refusals of a loop from now on; ``sink`` is called with each as it happens.

    The last ``keep`` are kept in ``explanations``; ``thread`` is whom the last one is about. With ``only_final``, only
    those are explained that end a thread because it has no fault handler; that costs next to nothing until it happens.
    """

    def __init__(
        self,
        loop: Loop,
        sink: Callable[[Explanation], None] | None = None,
        keep: int = KEEP,
        *,
        only_final: bool = False,
    ) -> None:
        self.loop = loop
        self.state = loop.state
        self.sink = sink
        self.keep = keep
        self.only_final = only_final
        self.thread = self.state.current
        self.explanations: list[Explanation] = []
        self._previous: SyscallError | Fault | None = None
        self._thread = self.state.current
        self._judged: list[Refused] = []
        self._timed: list[tuple[TCB, Fault | None, SchedContext | None]] = []
        loop.before.append(self._before)
        loop.observers.append(self._after)

    def detach(self) -> None:
        """Look on no longer."""
        self.loop.before.remove(self._before)
        self.loop.observers.remove(self._after)

    def _before(self, trap: Trap) -> None:
        state = self.state
        self._previous, self._thread, self._judged = state.refusal, state.current, []
        if self.only_final:
            return
        self._timed = [(self._thread, self._thread.fault, self._thread.sched_context)]
        if trap.kind == ECALL:
            number = signed(self._thread.registers[reg.SYSCALL_REGISTER])
            self._judged = judge(state, self._thread, number)
            answered = self._answered(number)
            if answered is not None:
                self._timed.append((answered, answered.fault, answered.sched_context))

    def _answered(self, number: int) -> TCB | None:
        """The thread that a reply would wake: it may find its budget used up."""
        phases = PHASES.get(number)
        if not phases or not phases[0].sends:
            return None
        try:
            cap = lookup_cap(self._thread, self._thread.registers[phases[0].register])
        except LookupFault:
            return None
        return cap.reply.tcb if isinstance(cap, ReplyCap) else None

    def _after(self, trap: Trap) -> None:
        for thread, fault, context in self._timed:
            if isinstance(thread.fault, Timeout) and thread.fault is not fault:
                self._explain_timeout(thread, context or thread.sched_context)
        refusal = self.state.refusal
        if trap.kind == INTERRUPTED or refusal is None or refusal is self._previous:
            return
        if self.only_final and (self._thread.state is not INACTIVE or isinstance(refusal, SyscallError)):
            return
        if isinstance(refusal, SyscallError) or (isinstance(refusal, CapFault) and not refusal.in_receive_phase):
            self._explain_request(refusal, sends=True)
        elif isinstance(refusal, CapFault):
            # The receive half hides that the send half was refused, silently, before it.
            for refused in self._judged:
                if refused.sends:
                    self._emit_request(refused.error, refused, "dropped silently")
            self._explain_request(refusal, sends=False)
        else:
            self._explain_fault(refusal)

    def _explain_request(self, refusal: SyscallError | CapFault, *, sends: bool) -> None:
        judged = [refused for refused in self._judged if refused.sends == sends]
        if not judged:
            # A first half that succeeded has changed what the second one met.
            number = signed(self._thread.registers[reg.SYSCALL_REGISTER])
            judged = [refused for refused in judge(self.state, self._thread, number) if refused.sends == sends]
        if judged:
            self._emit_request(refusal, judged[0], self._outcome(refusal))
        else:
            self._emit(refusal, "system call", self._outcome(refusal), Missing())

    def _outcome(self, refusal: SyscallError | Fault) -> str:
        """What became of the thread."""
        if isinstance(refusal, SyscallError):
            answered = PHASES[signed(self._thread.registers[reg.SYSCALL_REGISTER])][0].is_call
            return "the caller was told" if answered else "dropped silently"
        return self._delivery(refusal, self._thread, self._thread.fault_slot)

    def _delivery(self, fault: Fault, thread: TCB, handler: Slot) -> str:
        if thread.fault is fault and isinstance(handler.cap, EndpointCap):
            return f"sent to its handler, {in_words(handler.cap)}"
        return STOPPED if thread.state is INACTIVE else "dropped silently"

    def _explain_fault(self, fault: Fault) -> None:
        thread = self._thread
        entries: list[faults.Entry] = []
        slot: Slot | None = None
        match fault:
            case VMFault():
                operation = faults.vm_operation(fault)
                missing, entries, slot = faults.explain_vm_fault(self.state, thread, fault)
            case UserException():
                operation = f"execute at {thread.registers[reg.FAULT_IP]:#x}"
                missing = faults.explain_exception(thread, fault)
            case UnknownSyscall():
                operation = f"system call {signed(fault.number)}"
                missing = faults.explain_unknown(fault.number)
            case _:
                operation, missing = "unknown", Missing()
        self._emit(fault, operation, self._outcome(fault), missing, slot=slot, entries=tuple(entries))

    def _explain_timeout(self, thread: TCB, context: SchedContext | None) -> None:
        if context is None or thread.fault is None:
            return
        missing = faults.explain_timeout(self.state, context)
        outcome = self._delivery(thread.fault, thread, thread.timeout_slot)
        self._emit(thread.fault, "run", outcome, missing, thread=thread)

    def _emit_request(self, refusal: SyscallError | Fault | None, refused: Refused, outcome: str) -> None:
        missing = refused.missing
        if isinstance(refusal, SyscallError) and (refused.error is None or refused.error.code != refusal.code):
            missing = Missing()
        self._emit(
            refusal, refused.operation, outcome, missing, slot=refused.slot, path=refused.walks,
            arguments=refused.arguments,
        )  # fmt: skip

    def _emit(
        self, refusal: SyscallError | Fault | None, operation: str, outcome: str, missing: Missing, *,
        slot: Slot | None = None, path: tuple[Walk, ...] = (), entries: tuple[faults.Entry, ...] = (),
        arguments: dict[str, int] | None = None, thread: TCB | None = None,
    ) -> None:  # fmt: skip
        thread = self.thread = thread or self._thread
        name, code, words = describe_refusal(refusal)
        if refusal is None and path:
            name = f"CapFault: {err.LOOKUP_FAILURE_NAMES[path[-1].failure]}, send phase"
        held = slot is not None and slot.cap is not NULL
        explanation = Explanation(
            self.loop.entries, self.state.time, thread_name(thread), thread.paddr, operation, arguments or {}, name,
            code, words, outcome, path, entries, _subject(slot), missing,
            tuple(Link(place_of(a), in_words(a.cap)) for a in ancestors(slot)) if slot is not None and held else (),
            grantors(self.state, missing),
        )  # fmt: skip
        self.explanations.append(explanation)
        del self.explanations[: max(0, len(self.explanations) - self.keep)]
        if self.sink is not None:
            self.sink(explanation)


def _subject(slot: Slot | None) -> Subject | None:
    return None if slot is None else Subject(place_of(slot), in_words(slot.cap), notation(slot.cap))


def describe_refusal(refusal: SyscallError | Fault | None) -> tuple[str, int, tuple[int, ...]]:
    """Name, number and words of an error or a fault; a cap that was not found and not told of is a CapFault."""
    match refusal:
        case SyscallError():
            return err.ERROR_NAMES[refusal.code], refusal.code, tuple(refusal.words)
        case CapFault():
            kind = err.LOOKUP_FAILURE_NAMES[refusal.failure.kind]
            phase = "receive" if refusal.in_receive_phase else "send"
            return f"CapFault: {kind}, {phase} phase", flt.CAP_FAULT, (refusal.failure.kind, *refusal.failure.words)
        case VMFault():
            return "VMFault", flt.VM_FAULT, (refusal.address, int(refusal.is_fetch), refusal.status)
        case UserException():
            return "UserException", flt.USER_EXCEPTION, (refusal.number, refusal.code)
        case UnknownSyscall():
            return "UnknownSyscall", flt.UNKNOWN_SYSCALL, (refusal.number,)
        case Timeout():
            return "Timeout", flt.TIMEOUT, (refusal.badge,)
        case _:
            return "CapFault: send phase", flt.CAP_FAULT, ()
