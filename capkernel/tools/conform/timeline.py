"""Replaying recorded timelines: scripts of threads that run at once, and the log of who did what when (FORMAT2, 5).

The recorded kernel took some microseconds for each entry; a program was kept only if its course did not depend on how
many, and its times are extrapolated to none. The replay does the same with two small costs: order, counts and messages
must agree exactly, and times to a tenth of a millisecond (two for a rounded sum).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_NAME
from capkernel.abi.words import WORD_MASK
from capkernel.kernel.objects import TCB
from capkernel.runtime.loop import Costs
from capkernel.tools.conform.names import RECEIVING, SYSCALL
from capkernel.tools.conform.populate import configure_sc, configure_thread
from capkernel.tools.conform.world import HOST_SPUN, IDLE, INSN_PC, ROOT_PRIORITY, SPIN, TEST_BITS, TP, World, create

TICKS_PER_MS = 10_000
UNIT_TICKS = 5_000
POLL_TICKS = 1_000
TOLERANCE_MS = 0.2
INTERRUPT_TICKS = 9
"""An interrupt reaches the kernel a little before the timer's precision of 10 ticks is over."""
ROOT_TICKS = 100
"""What the root thread's own code takes between the system calls with which it starts the others."""
LEAVE_TICKS = (20, 40)
"""What a kernel entry costs in the two runs from which the times without that cost are extrapolated."""
TIMEOUT_LABEL = 5
FIRST_TCB, FIRST_SC, FIRST_ENDPOINT, FIRST_NOTIFICATION, FIRST_REPLY = 8, 16, 24, 28, 32
SC_BITS = 10
_SC_ARGUMENTS = ("budget", "period", "extra_refills", "badge", "flags")
_UNUSED_SC = {"budget": 5_000, "period": 5_000, "extra_refills": 0, "badge": 0, "flags": 0}

INVOCATION = {
    "SchedContextYieldTo": "SchedContext_YieldTo", "SchedContextConsumed": "SchedContext_Consumed",
    "SchedContextUnbind": "SchedContext_Unbind", "SchedContextBind": "SchedContext_Bind",
    "TCBSuspend": "TCB_Suspend", "TCBResume": "TCB_Resume", "TCBSetPriority": "TCB_SetPriority",
    "SchedControlConfigureFlags": "SchedControl_ConfigureFlags",
}  # fmt: skip
_TIMES = frozenset(("t", "t_end", "consumed"))
CONSUMED = ("SchedContextConsumed", "SchedContextYieldTo")
Entry = dict[str, Any]


@dataclass
class _Actor:
    """One scripted thread: where it is in its script."""

    index: int
    spec: dict[str, Any]
    tcb: TCB
    step: int = 0
    units: int = 0
    ended: bool = False
    passes: dict[int, int] = field(default_factory=dict)


class Timeline:
    """Runs one program and keeps its log."""

    def __init__(self, program: dict[str, Any], leave_ticks: int) -> None:
        self.init = program["init"]
        self.world = create(costs=Costs(interrupt=INTERRUPT_TICKS, leave=leave_ticks))
        self.start = 0
        self.log: list[Entry] = []
        self.never = 0
        self.actors: list[_Actor] = []
        self._objects()
        self.actors = [self._thread(k, spec) for k, spec in enumerate(self.init["threads"])]
        self.world.on_worker = self._on_host
        for actor in self.actors:
            if actor.spec.get("passive"):
                self._make_passive(actor)

    def run(self) -> list[Entry]:
        """Let the threads go, until all that should have ended or the time is over."""
        world, root = self.world, self.world.own(bi.CAP_INIT_TCB)
        world.make(root, labels.TCB_SET_PRIORITY, [255], [root])
        for actor in self.actors:
            if not actor.spec.get("passive"):
                world.make(FIRST_TCB + actor.index, labels.TCB_RESUME, [], [])
                world.machine.advance(ROOT_TICKS)
        world.fallback = self._poll
        self.start = world.machine.now()
        self._set_root_priority(ROOT_PRIORITY)
        return self.log

    def _set_root_priority(self, priority: int) -> None:
        root = self.world.own(bi.CAP_INIT_TCB)
        self.world.make(root, labels.TCB_SET_PRIORITY, [priority], [root])

    # Setting up

    def _objects(self) -> None:
        world, test = self.world, self.world.own(self.world.test_slot)
        hidden = world.own(world.hidden)
        world.test_copy(3, bi.CAP_INIT_TCB)
        world.test_copy(4, world.info.sched_control[0])
        world.retype(hidden, obj.ENDPOINT, 0, test, FIRST_ENDPOINT, 3)
        world.retype(hidden, obj.NOTIFICATION, 0, test, FIRST_NOTIFICATION, 3)
        world.retype(hidden, obj.REPLY, 0, test, FIRST_REPLY, len(self.init["threads"]))
        for slot, source, badge in self.init.get("mint", []):
            words = [slot, TEST_BITS, source, TEST_BITS, 15, badge]
            world.make(test, labels.CNODE_MINT, words, [test])
        self.never = world.own(world.new(obj.NOTIFICATION))

    def _thread(self, k: int, spec: dict[str, Any]) -> _Actor:
        world, test = self.world, self.world.own(self.world.test_slot)
        tcb_slot, sc_slot = FIRST_TCB + k, FIRST_SC + k
        world.retype(world.own(world.hidden), obj.TCB, 0, test, tcb_slot)
        world.retype(world.own(world.hidden), obj.SCHED_CONTEXT, SC_BITS, test, sc_slot)
        time = spec["sc"] or _UNUSED_SC
        configure_sc(world, sc_slot, *(time[name] for name in _SC_ARGUMENTS))
        tcb = configure_thread(world, tcb_slot, sc_slot, spec["prio"], spec["mcp"], None, has_buffer=True)
        if spec.get("timeout_ep"):
            world.make(tcb_slot, labels.TCB_SET_TIMEOUT_ENDPOINT, [], [spec["timeout_ep"]])
        if spec.get("ntfn"):
            world.make(tcb_slot, labels.TCB_BIND_NOTIFICATION, [], [spec["ntfn"]])
        tcb.registers[reg.TP] = TP + k
        tcb.registers[reg.FAULT_IP] = tcb.registers[reg.NEXT_IP] = IDLE + 4
        return _Actor(k, spec, tcb)

    def _make_passive(self, actor: _Actor) -> None:
        """Let a thread reach its first receive, then take its time away."""
        self._set_root_priority(ROOT_PRIORITY)
        self.world.make(FIRST_TCB + actor.index, labels.TCB_RESUME, [], [])
        self.world.make(FIRST_SC + actor.index, labels.SCHED_CONTEXT_UNBIND, [], [])
        if actor.spec.get("sc_on_ntfn"):
            self.world.make(FIRST_SC + actor.index, labels.SCHED_CONTEXT_BIND, [], [actor.spec["ntfn"]])

    # Running

    def _poll(self) -> None:
        """The root thread, lowest of all, looks now and then whether it is over."""
        registers = self.world.root.registers
        registers[31], registers[reg.NEXT_IP] = POLL_TICKS, SPIN

    def _over(self) -> bool:
        if all(actor.ended or actor.spec.get("forever") for actor in self.actors):
            return True
        return bool(self._now_ms() * TICKS_PER_MS >= self.init["max_ms"] * TICKS_PER_MS)

    def _on_host(self, what: int, thread: TCB) -> bool:
        if thread is self.world.root:
            if self._over():
                return False
            thread.registers[31], thread.registers[reg.NEXT_IP] = POLL_TICKS, SPIN
            return True
        actor = self.actors[thread.registers[reg.TP] - TP]
        step = actor.spec["script"][actor.step] if actor.step < len(actor.spec["script"]) else None
        if what == HOST_SPUN:
            self._log_spin(actor)
            actor.units += 1
            if step is not None and actor.units >= step[1]:
                actor.step, actor.units = actor.step + 1, 0
        elif step is not None and step[0] == "sys" and thread.registers[reg.NEXT_IP] == INSN_PC["ecall"] + 8:
            self._log_syscall(actor, step)
            actor.step += 1
        self._next(actor)
        return True

    def _now_ms(self) -> float:
        return (self.world.machine.now() - self.start) / TICKS_PER_MS

    def _log_spin(self, actor: _Actor) -> None:
        last = self.log[-1] if self.log else {}
        if last.get("k") == actor.index and last.get("step") == actor.step and "n" in last and actor.units:
            last["n"] += 1
            last["t_end"] = self._now_ms()
        else:
            now = self._now_ms()
            self.log.append({"k": actor.index, "step": actor.step, "n": 1, "t": now, "t_end": now})

    def _log_syscall(self, actor: _Actor, step: list[Any]) -> None:
        entry: Entry = {"k": actor.index, "step": actor.step, "t": self._now_ms()}
        if step[1] in RECEIVING:
            entry["res"] = self._result(actor.tcb, step)
        self.log.append(entry)

    def _result(self, thread: TCB, step: list[Any]) -> Entry:
        info = thread.registers[reg.MSG_INFO_REGISTER]
        label, length = msg.info_label(info), info & 127
        words = self.world.words_of(thread, length)
        badge = thread.registers[reg.BADGE_REGISTER]
        options = step[3] if len(step) > 3 else {}
        if options.get("inv") in CONSUMED:
            seen: Entry = {"label": label, "len": length}
            return seen | ({"consumed": words[0] / 1000} if length else {})
        if label == TIMEOUT_LABEL and step[1] != "Call":
            return {"badge": badge, "label": label, "len": length, "data": words[0], "consumed": words[1] / 1000}
        return {"badge": badge, "label": label, "len": length, "mrs": words}

    def _next(self, actor: _Actor) -> None:
        """Take the steps that need no time, and set up the next one that does."""
        registers, script = actor.tcb.registers, actor.spec["script"]
        while actor.step < len(script):
            step = script[actor.step]
            if step[0] == "spin":
                registers[31], registers[reg.NEXT_IP] = UNIT_TICKS, SPIN
                return
            if step[0] == "sys":
                self._set_up_syscall(actor.tcb, step)
                return
            self._pass(actor, step)
        actor.ended = True
        registers[reg.CAP_REGISTER], registers[reg.SYSCALL_REGISTER] = self.never, sc.WAIT & WORD_MASK
        registers[reg.NEXT_IP] = INSN_PC["ecall"]

    def _pass(self, actor: _Actor, step: list[Any]) -> None:
        if step[0] == "mark":
            self.log.append({"k": actor.index, "step": actor.step, "t": self._now_ms()})
            actor.step += 1
            return
        _, target, count = step
        passes = actor.passes.get(actor.step, 0) + 1
        actor.passes[actor.step] = 0 if passes >= count else passes
        actor.step = actor.step + 1 if passes >= count else target

    def _set_up_syscall(self, thread: TCB, step: list[Any]) -> None:
        name, cap = step[1], step[2]
        options = step[3] if len(step) > 3 else {}
        label = BY_NAME[INVOCATION[options["inv"]]].label if "inv" in options else options.get("label", 0)
        caps = [options["cap"]] if "cap" in options else []
        words = [options.get("mr0", 0), options.get("mr1", 0), 0, 0, 0]
        registers = thread.registers
        registers[reg.CAP_REGISTER] = cap
        registers[reg.MSG_INFO_REGISTER] = msg.message_info(label, options.get("len", 0), len(caps))
        registers[reg.REPLY_REGISTER] = options.get("reply", 0)
        registers[reg.SYSCALL_REGISTER] = SYSCALL[name] & WORD_MASK
        registers[reg.NEXT_IP] = INSN_PC["ecall"]
        self.world.set_message(thread, words, caps, (0, 0, 0))


def replay_timeline(
    program: dict[str, Any], begin: Callable[[World], None] = lambda world: None
) -> tuple[int, str | None]:
    """Run a recorded timeline; returns the number of log entries compared, and the first difference if any.

    ``begin`` is called with each world in which it runs, when that is ready to start.
    """
    timeline, dearer = Timeline(program, LEAVE_TICKS[0]), Timeline(program, LEAVE_TICKS[1])
    begin(timeline.world)
    begin(dearer.world)
    log = _without_costs(timeline.run(), dearer.run())
    expected = program["log"]
    for index, record in enumerate(expected):
        if index >= len(log):
            return index, f"entry {index}: expected {record}, but the log ends"
        if not _same_entry(record, log[index]):
            return index + 1, f"entry {index}: expected {record}, got {log[index]}"
    if len(log) > len(expected):
        return len(expected), f"entry {len(expected)}: expected nothing more, got {log[len(expected)]}"
    ended = [actor.index for actor in timeline.actors if actor.ended]
    if ended != program["ended"]:
        return len(expected), f"ended: expected {program['ended']}, got {ended}"
    return len(expected), None


def _without_costs(log: list[Entry], dearer: list[Entry]) -> list[Entry]:
    """The log with times extrapolated to a kernel that takes no time, as in the recordings.

    Where the dearer run took another course, the cheaper one's times stand as they are.
    """
    return [_extrapolated(a, b) if a.keys() == b.keys() else a for a, b in zip(log, dearer, strict=False)] + log[
        len(dearer) :
    ]


def _extrapolated(entry: Entry, dearer: Entry) -> Entry:
    result = dict(entry)
    for key in _TIMES & entry.keys() & dearer.keys():
        result[key] = 2 * entry[key] - dearer[key]
    if "res" in entry and "res" in dearer:
        result["res"] = _extrapolated(entry["res"], dearer["res"])
    return result


def _same_entry(expected: Entry, actual: Entry) -> bool:
    if expected.keys() != actual.keys():
        return False
    return all(_same_field(key, value, actual[key]) for key, value in expected.items())


def _same_field(key: str, expected: Any, actual: Any) -> bool:
    if expected is None:
        return True
    if key in _TIMES:
        return bool(abs(expected - actual) <= TOLERANCE_MS + 1e-9)
    if key == "res":
        return _same_entry(expected, actual)
    return bool(expected == actual)
