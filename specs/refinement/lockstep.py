"""Both kernels side by side: at every entry the abstract one takes the same step, and must come to the same state.

The specification's state is abstracted from the kernel's once, at the start; from then on it is carried by the
specification alone.
"""

import traceback
from collections import Counter

from capkernel.abi import syscalls as sc
from capkernel.abi.faults import FAULT_NAMES
from capkernel.abi.labels import BY_LABEL
from capkernel.abi.registers import SYSCALL_REGISTER
from capkernel.abi.words import signed
from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from specs.abstract import Event, Outputs, State, kernel_entry
from specs.abstract.syscall import SYSCALL
from specs.refinement import effects
from specs.refinement.abstraction import Abstraction
from specs.refinement.difference import Difference, differences, same_but_tree, same_tree
from specs.refinement.events import event_of
from specs.refinement.witness import Witness

MOST_ROWS = 20
"""Of a divergence; the first say enough."""

Counts = Counter[tuple[str, str]]
"""(What was done, "" or the error or fault that came of it) → how often."""


def kind_of(event: Event, out: Outputs) -> str:
    """What an entry was: the name of an invocation or system call, or of what trapped."""
    if event.kind != SYSCALL:
        return event.kind
    number = signed(event.context[SYSCALL_REGISTER])
    if out.invoked is not None:
        spec = BY_LABEL.get(out.invoked[1])
        if spec is not None and spec.cap_type == out.invoked[0]:
            return spec.name
    return sc.NAMES.get(number, "unknown system call")


class Lockstep:
    """A watcher that lets the specification take every step that the kernel takes.

    ``differences`` are those found at the first entry that diverges; ``problem`` is the same as text. ``counts`` says
    what was done how often. ``known`` is an abstraction of the same kernel that may have seen its state before.
    """

    def __init__(self, known: Abstraction | None = None) -> None:
        self._known = known
        self.differences: list[Difference] = []
        self.problem: str | None = None
        self.entries = 0
        self.counts: Counts = Counter()

    def attach(self, loop: Loop, machine: Machine) -> None:
        """Begin: abstract the state, look at every kernel entry from now on."""
        self.kernel = loop.state
        self.witness = Witness(loop.state.machine)
        loop.state.machine = self.witness.as_machine()
        known = self._known
        fits = known is not None and known.state is loop.state
        self.abstraction = known.fork() if known is not None and fits else Abstraction(loop.state, machine)
        self.spec: State = self.abstraction.abstract()
        self._caps = self.spec.caps
        loop.before.append(self.before)
        loop.observers.append(self.after)

    def before(self, trap: Trap) -> None:
        """The kernel is about to be entered."""
        self.witness.reset()
        self._context = tuple(self.kernel.current.registers)

    def after(self, trap: Trap) -> None:
        """The kernel has been left: now the specification takes the step."""
        if self.problem is not None:
            return
        self.entries += 1
        event = event_of(trap, self._context)
        answers = self.witness.answers()
        try:
            self.spec, out = kernel_entry(self.spec, event, answers, self.witness.word_before)
        except Exception:
            self.problem = f"{self._place(event)}: the specification cannot take the step\n{traceback.format_exc()}"
            return
        found = self._compare(out)
        found += [Difference("machine", f"asked for {what}", 0, more) for what, more in answers.unheard().items()]
        outcome = "" if out.error is None else f"error {out.error}"
        if out.fault is not None:
            outcome = FAULT_NAMES[out.fault]
        self.counts[kind_of(event, out), outcome] += 1
        if found:
            self.differences = found
            rows = [str(row) for row in found[:MOST_ROWS]]
            more = [f"… and {len(found) - MOST_ROWS} more"] if len(found) > MOST_ROWS else []
            self.problem = "\n".join([f"{self._place(event)}, {kind_of(event, out)}:", *rows, *more])

    def _place(self, event: Event) -> str:
        return f"refinement: kernel entry {self.entries} ({event.kind})"

    def _compare(self, out: Outputs) -> list[Difference]:
        now = self.abstraction.abstract()
        rows = effects.differences(out, self.spec, self.witness)
        same = same_but_tree(self.spec, now)
        if self.abstraction.changed or self.spec.caps is not self._caps:
            same = same and same_tree(self.spec, now)
            self._caps = self.spec.caps
        return rows if same else differences(self.spec, now) + rows
