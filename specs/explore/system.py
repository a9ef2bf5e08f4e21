"""A configuration as a running kernel: what can happen in its present state, and making it happen."""

from collections.abc import Iterator
from typing import Any

from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi.words import signed
from capkernel.kernel import objects as ko
from capkernel.kernel import syscall
from capkernel.kernel.caps import CNodeCap
from capkernel.kernel.objects import TCB, Slot
from capkernel.kernel.vspace import ipc_buffer
from specs.explore import actions, model
from specs.explore.actions import Action
from specs.explore.board import Board
from specs.explore.model import Configuration
from specs.explore.states import ECALL, StateKey, States
from specs.invariants import regions
from specs.programs import SLOTS, Compute, Interrupt, Layout, Program, Step, Syscall
from specs.programs.layout import IRQ_LINE, World
from specs.programs.loading import load_syscall
from specs.programs.worlds import build

Choice = int
"""What happens next: the number of one of the running thread's actions, or one of these."""
AGAIN, BUDGET_ENDS, TIME_PASSES, INTERRUPT = -1, -2, -3, -4
PREEMPTED = 1 << 8
"""Added to the number of a Delete or Revoke, or to AGAIN: the interrupt comes at its first preemption point."""
STOP_ROOT = Syscall(cap=SLOTS["tcb_root"], label=labels.TCB_SUSPEND)
"""The first step of every program here: whoever runs stops the root thread; only the system's own threads are left."""


class System:
    """A configuration that has been set up, in its first state.

    ``acts`` are each thread's actions; ``initial`` is the first state.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.world: World = build(configuration.layout)
        self.state = self.world.state
        self.threads: list[TCB] = [self.world.threads[index] for index in range(len(configuration.threads))]
        self.acts: list[list[Action]] = [[actions.parse(line) for line in t.acts] for t in configuration.threads]
        self.environment = frozenset(configuration.environment)
        node = self._named("cnode")
        assert isinstance(node, CNodeCap)
        self.node = node.cnode
        self._stop_root()
        self.objects = self._objects()
        self.slots = self._slots()
        self.board = Board(self.world.machine, self.state.config.timer_irq)
        self.state.machine = self.board
        self.states = States(self.state, self.board, self.threads, self.objects, self.slots)
        self._load()
        self.initial: StateKey = self.states.key()

    def _named(self, name: str) -> ko.Cap:
        """The cap in a slot of the test CNode, at the start."""
        cspace = self.threads[0].cspace_slot.cap
        assert isinstance(cspace, CNodeCap)
        first = cspace.cnode.slot(0).cap
        assert isinstance(first, CNodeCap)
        return first.cnode.slot(SLOTS[name]).cap

    def _stop_root(self) -> None:
        """The first step of the program, by whoever runs."""
        current = self.state.current
        load_syscall(self.world.machine, current, STOP_ROOT)
        self._enter_call(current)

    def _enter_call(self, thread: TCB) -> None:
        registers = thread.registers
        registers[reg.FAULT_IP], registers[reg.NEXT_IP] = ECALL, ECALL + 4
        syscall.handle_syscall(self.state, signed(registers[reg.SYSCALL_REGISTER]))

    def names(self) -> set[str]:
        """The names of all objects that the configuration speaks of."""
        found = {word for acts in self.acts for action in acts for word in action.words if word in SLOTS}
        found |= {name for lent in self.configuration.lends for name in lent}
        if self.environment & {model.INTERRUPT, model.PREEMPT}:
            found.add("ntfn0")
        for index, thread in enumerate(self.configuration.threads):
            found |= {f"tcb{index}", f"sc{index}", thread.fault, thread.timeout, thread.bound, *(thread.serves or ())}
        return found - {""}

    def _objects(self) -> list[Any]:
        """All objects but threads that the configuration speaks of, each once, in the order of their slots."""
        found: dict[int, Any] = {}
        for name in sorted(self.names(), key=SLOTS.__getitem__):
            target = regions.referent(self.node.slot(SLOTS[name]).cap)
            if isinstance(target, (ko.Endpoint, ko.Notification, ko.Reply, ko.SchedContext)):
                found[id(target)] = target
        return list(found.values())

    def _slots(self) -> list[Slot]:
        """Every slot that destroying these objects may change: of their caps and threads, and their neighbours."""
        targets = {id(item) for item in (*self.objects, *self.threads)}
        containers = [self.node, *self.threads, self.state.irq_slots]
        held = [slot for container in containers for slot in container.slots.values()]
        near = [s for s in held if id(regions.referent(s.cap)) in targets or isinstance(s.container, TCB)]
        found = {id(slot): slot for slot in near}
        for slot in near:
            found.update((id(other), other) for other in (slot.prev, slot.next) if other is not None)
        return list(found.values())

    def _load(self) -> None:
        """Prepare each thread's actions: the registers, and the cap addresses in its IPC buffer."""
        self.states.loaded, self._caps = [], []
        for thread, acts in zip(self.threads, self.acts, strict=True):
            loaded, caps = [], []
            kept = thread.registers[:]
            for action in acts:
                step = actions.syscall_of(action)
                load_syscall(self.world.machine, thread, step)
                thread.registers[reg.FAULT_IP], thread.registers[reg.NEXT_IP] = ECALL, ECALL + 4
                loaded.append(thread.registers[:])
                caps.append(step.caps)
            thread.registers[:] = kept
            self.states.loaded.append(loaded)
            self._caps.append(caps)

    # What can happen

    def choices(self) -> list[Choice]:
        """All that can happen in the present state."""
        state, environment = self.state, self.environment
        found: list[Choice] = []
        current = state.current
        if current is state.idle:
            if state.release.head is not None:
                found.append(TIME_PASSES)
        else:
            index = self.threads.index(current)
            acts = self.acts[index]
            preempt = model.PREEMPT in environment and not self.board.silent
            if current.registers[reg.NEXT_IP] == ECALL:
                found.append(AGAIN)
                if preempt and acts[self.states.last[index]].verb in actions.LONG:
                    found.append(AGAIN + PREEMPTED)
            else:
                found += range(len(acts))
                if preempt:
                    found += [n + PREEMPTED for n, action in enumerate(acts) if action.verb in actions.LONG]
            if model.BUDGET_ENDS in environment:
                found.append(BUDGET_ENDS)
        if model.INTERRUPT in environment and not self.board.silent:
            found.append(INTERRUPT)
        return found

    def take(self, choice: Choice) -> None:
        """Make it happen: one kernel entry."""
        if BUDGET_ENDS >= choice >= INTERRUPT:
            self._interrupt(choice)
            return
        if choice >= PREEMPTED + AGAIN:
            choice -= PREEMPTED
            self.board.pending, self.board.pending_from = IRQ_LINE, 0
        current = self.state.current
        index = self.threads.index(current)
        if choice == AGAIN:
            choice = self.states.last[index]
        else:
            self.states.last[index] = choice
            current.registers[:] = self.states.loaded[index][choice]
        caps = self._caps[index][choice]
        if caps:
            buffer = ipc_buffer(current, for_writing=False)
            if buffer:
                self.board.write_word(buffer + msg.BUFFER_CAPS, caps[0])
        self._enter_call(current)
        self.board.pending, self.board.pending_from = 0, None

    def _interrupt(self, choice: Choice) -> None:
        state, board = self.state, self.board
        current = state.current
        if choice == INTERRUPT:
            board.pending = IRQ_LINE
        else:
            board.time += self._time_left()
            board.pending = board.timer_irq
        if current is not state.idle:
            current.registers[reg.FAULT_IP] = current.registers[reg.NEXT_IP]
        syscall.handle_interrupt(state)

    def _time_left(self) -> int:
        """Ticks until the kernel's timer has something to do: the budget ends, or the next refill comes."""
        state, left = self.state, []
        if state.current is not state.idle:
            left.append(state.current_sc.refills[0].amount - state.consumed)
        head = state.release.head
        if head is not None and head.sched_context is not None:
            left.append(head.sched_context.refills[0].time - state.time)
        return min(left)

    def action_of(self, choice: Choice) -> Action | None:
        """The action of the running thread that a choice is; None if it is the environment's."""
        if BUDGET_ENDS >= choice >= INTERRUPT:
            return None
        if choice >= PREEMPTED + AGAIN:
            choice -= PREEMPTED
        index = self.threads.index(self.state.current)
        return self.acts[index][self.states.last[index] if choice == AGAIN else choice]

    def is_overwritten(self, index: int) -> bool:
        """Whether an answer has overwritten the registers with which a thread made its last system call."""
        loaded = self.states.loaded[index][self.states.last[index]]
        return self.threads[index].registers[: reg.FAULT_IP] != loaded[: reg.FAULT_IP]

    # Words for it

    def describe(self, choice: Choice) -> str:
        """What a choice in the present state is."""
        action = self.action_of(choice)
        if action is None:
            return {BUDGET_ENDS: model.BUDGET_ENDS, TIME_PASSES: model.TIME_PASSES, INTERRUPT: model.INTERRUPT}[choice]
        preempted = choice >= PREEMPTED + AGAIN
        again = "again" if choice in (AGAIN, AGAIN + PREEMPTED) else ""
        if again and self.is_overwritten(self.threads.index(self.state.current)):
            again = "again, its registers overwritten by the answer"
        words = [f"{self.state.current.name}: {action}", again, "interrupted" if preempted else ""]
        return ", ".join(word for word in words if word)

    def steps(self, path: list[tuple[StateKey, Choice]]) -> Iterator[Step]:
        """A path from the first state as the steps of a program."""
        yield STOP_ROOT
        for key, choice in path:
            self.states.restore(key)
            current = self.state.current
            index = -1 if current is self.state.idle else self.threads.index(current)
            if choice == BUDGET_ENDS:
                yield Compute(self._time_left(), thread=index)
            elif choice == INTERRUPT:
                yield Interrupt(IRQ_LINE)
            elif choice >= 0:
                if choice >= PREEMPTED + AGAIN:
                    yield Interrupt(IRQ_LINE)
                    choice -= PREEMPTED
                if choice >= 0:
                    yield actions.syscall_of(self.acts[index][choice], thread=index)

    def program(self, path: list[tuple[StateKey, Choice]]) -> Program:
        """A path from the first state as a program that anyone can run."""
        layout: Layout = self.configuration.layout
        return Program(layout, tuple(self.steps(path)))


__all__ = ["AGAIN", "BUDGET_ENDS", "INTERRUPT", "PREEMPTED", "TIME_PASSES", "Choice", "Syscall", "System"]
