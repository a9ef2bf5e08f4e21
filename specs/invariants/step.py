"""One kernel entry as the oracle sees it: before, request, after, and what the kernel did to the machine."""

from collections.abc import Iterable, Mapping
from typing import Any

from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import signed
from capkernel.kernel import objects as ko
from capkernel.kernel.caps import CNodeCap, FrameCap
from capkernel.kernel.objects import NULL, TCB, Cap, Slot
from capkernel.kernel.state import State
from capkernel.runtime.snapshot import FIELDS
from hwmodel.cpu.trap import ECALL, Trap
from specs.invariants.parts import ALL, CAPS, CLEARS, FAULTED, LINES, POLLS, REFUSED, TABLES, parts
from specs.invariants.recorder import Recorder
from specs.invariants.resolve import slot_at, slot_in
from specs.invariants.view import View, members

_NAMES = {kind: tuple(n for n in names if n not in ("slots", "ready")) for kind, names in FIELDS.items()}
_SENDING = frozenset((sc.CALL, sc.SEND, sc.NBSEND, sc.REPLY_RECV, sc.NBSEND_RECV, sc.NBSEND_WAIT))
_RECEIVING = frozenset((sc.RECV, sc.NBRECV, sc.WAIT, sc.NBWAIT, sc.REPLY_RECV, sc.NBSEND_RECV, sc.NBSEND_WAIT))
COMBINED = _SENDING & _RECEIVING
_EVENTS = {"claim_irq": LINES, "complete_irq": LINES, "mask_irq": LINES, "clear": CLEARS}
"""By the effect on the machine."""
Values = dict[str, Any]
Buffers = dict[TCB, tuple[int, bool]]
Flags = tuple[bool, bool, Slot | None, Slot | None]
"""Of a slot: original, begins a subtree, its neighbours in the list."""
Recapped = dict[Slot, tuple[Cap, Cap]]
"""Slots with the caps that they held and hold; ``NULL`` for none."""


def _plain(value: Any) -> Any:
    """A field's value, copied as far as it can change; queues and refills by what is in them."""
    kind = type(value)
    if kind is list:
        return [(r.time, r.amount) for r in value] if value and type(value[0]) is ko.Refill else list(value)
    if kind is dict:
        return dict(value)
    return tuple(members(value)[0]) if kind is ko.TCBQueue else value


def _some(item: Any, names: Iterable[str]) -> Values:
    return {name: _plain(getattr(item, name)) for name in names if name != "slots"}


def _fields(item: Any) -> Values:
    return {name: _plain(getattr(item, name)) for name in _NAMES[type(item)]}


_LINKS = parts("TCB.queue_next TCB.queue_prev Endpoint.queue Notification.queue")
_WITH_QUEUE = (ko.Endpoint, ko.Notification)


def _caps(view: View) -> dict[Slot, Cap]:
    return {slot: slot.cap for slot in view.slots}


def _flags_of(slot: Slot) -> Flags:
    return slot.revocable, slot.first_badged, slot.prev, slot.next


def _flags(view: View) -> dict[Slot, Flags]:
    return {slot: _flags_of(slot) for slot in view.slots}


def _by_place(slot: Slot) -> tuple[int, int]:
    return slot.container.paddr, slot.index


def _mapped(view: View) -> dict[tuple[int, int], int]:
    """(ASID, vaddr) → physical address."""
    return {(asid, leaf.vaddr): leaf.paddr for asid, space in view.spaces.items() for leaf in space.leaves.values()}


class Picture:
    """A copy of all that can change: each object's fields, each slot's cap and flags, the kernel's variables.

    ``touched`` are the objects that were copied anew, if the rest is shared with the picture before; else None.
    ``slots`` are those that may have changed since that one, None if nothing is known of that.
    """

    def __init__(
        self, objects: dict[Any, Values], caps: dict[Slot, Cap], flags: dict[Slot, Flags], kernel: Values,
        refusal: Any, mapped: dict[tuple[int, int], int], touched: tuple[Any, ...] | None = None,
        slots: tuple[Slot, ...] | None = None,
    ) -> None:  # fmt: skip
        self.objects, self.caps, self.flags, self.kernel = objects, caps, flags, kernel
        self.refusal, self.mapped, self.touched, self.slots = refusal, mapped, touched, slots

    @staticmethod
    def of_view(view: View) -> "Picture":
        """All of a view."""
        objects = {item: _fields(item) for item in view.objects.values()}
        state = view.state
        return Picture(objects, _caps(view), _flags(view), _fields(state), state.refusal, _mapped(view))

    def refresh(self, state: State, changed: Mapping[Any, Iterable[str]]) -> None:
        """Look again at these fields of objects; nothing else has changed while user code ran."""
        self.refusal = state.refusal
        for item, fields in changed.items():
            self.objects[item] = self.objects[item] | _some(item, fields)

    def copy(self) -> "Picture":
        """Another of the same."""
        return Picture(
            dict(self.objects), self.caps, self.flags, self.kernel, self.refusal, self.mapped, self.touched, self.slots
        )

    def later(self, view: View, parts_changed: int, changed: Mapping[Any, Iterable[str]]) -> "Picture":
        """The next picture, of the same objects: of their fields only these have changed, and who is in which queue."""
        state = view.state
        fresh = {item: self.objects[item] | _some(item, names) for item, names in changed.items() if item is not state}
        if parts_changed & _LINKS:
            for item, values in self.objects.items():
                if type(item) in _WITH_QUEUE and (values["queue"] or item.queue.head is not None):
                    fresh[item] = fresh.get(item, values) | _some(item, ("queue",))
        caps, flags = self._slots_later(view) if parts_changed & CAPS else (self.caps, self.flags)
        kernel = self.kernel | _some(state, [name for name in changed.get(state, ()) if name != "ready"])
        if self.kernel["release"] or state.release.head is not None:
            kernel["release"] = _plain(state.release)
        mapped = _mapped(view) if parts_changed & TABLES else self.mapped
        return Picture(
            self.objects | fresh, caps, flags, kernel, state.refusal, mapped, tuple(fresh), view.changed
        )

    def _slots_later(self, view: View) -> tuple[dict[Slot, Cap], dict[Slot, Flags]]:
        """The caps of the next picture, and their flags: only some slots have changed, if the view knows which."""
        if view.changed is None:
            return _caps(view), _flags(view)
        caps, flags = dict(self.caps), dict(self.flags)
        for slot in view.changed:
            if slot.cap is NULL:
                caps.pop(slot, None)
                flags.pop(slot, None)
            else:
                caps[slot], flags[slot] = slot.cap, _flags_of(slot)
        return caps, flags

    def recapped(self, before: "Picture") -> Recapped:
        """The slots that hold another cap than in an earlier picture, by place: what they held, and what they hold."""
        if self.caps is before.caps:
            return {}
        slots = before.caps.keys() | self.caps.keys() if self.slots is None else self.slots
        found = [slot for slot in slots if before.cap(slot) is not self.cap(slot)]
        found.sort(key=_by_place)
        return {slot: (before.cap(slot), self.cap(slot)) for slot in found}

    def of(self, item: Any, field: str) -> Any:
        """A field's value then; None if the object did not exist."""
        values = self.objects.get(item)
        return None if values is None else values[field]

    def cap(self, slot: Slot | None) -> Cap:
        """The cap that was in a slot."""
        return NULL if slot is None else self.caps.get(slot, NULL)


def buffer_of(thread: TCB) -> tuple[int, bool]:
    """Where a thread's IPC buffer lies (0: it has none) and whether the kernel may write there (manual, 4.2)."""
    cap = thread.buffer_slot.cap
    if not isinstance(cap, FrameCap) or cap.is_device or cap.rights not in (2, 3):
        return 0, False
    return cap.paddr + thread.ipc_buffer % (1 << cap.size_bits), cap.rights == 3


def buffers_of(view: View) -> Buffers:
    """The IPC buffers of all threads."""
    return {thread: buffer_of(thread) for thread in view.threads}


class Request:
    """A system call as it stood in the caller's registers and IPC buffer. ``words`` are those that count.

    ``label`` is that of the message, ``target`` the cap address that the sending half invokes.
    """

    def __init__(self, registers: list[int], words: list[int], caps: list[int]) -> None:
        self.registers, self.words, self.caps = registers, words, caps
        self.number = signed(registers[reg.SYSCALL_REGISTER])
        self.info = registers[reg.MSG_INFO_REGISTER]
        self.label = msg.info_label(self.info)
        self.target = registers[_TARGETS.get(self.number, reg.CAP_REGISTER)]

    @property
    def sends(self) -> bool:
        """Whether the call has a sending half."""
        return self.number in _SENDING

    @property
    def receives(self) -> bool:
        """Whether the call has a receiving half."""
        return self.number in _RECEIVING


_TARGETS = {
    sc.NBSEND_RECV: reg.NBSEND_DEST_REGISTER, sc.REPLY_RECV: reg.REPLY_REGISTER, sc.NBSEND_WAIT: reg.REPLY_REGISTER,
}  # fmt: skip
"""Where the combined calls say what they invoke; all others say it where they say what they receive from."""


def _words_at(view: View, paddr: int, count: int) -> list[int]:
    return list(memoryview(view.machine.memory.read(paddr, 8 * count)).cast("Q")) if count > 0 else []


def request_of(view: View, thread: TCB) -> Request:
    """What a thread asks for, or is queued with."""
    registers = list(thread.registers)
    info = registers[reg.MSG_INFO_REGISTER]
    length, extra = msg.info_length(info), msg.info_extra_caps(info)
    words = [registers[r] for r in reg.MSG_REGISTERS[:length]]
    caps: list[int] = []
    buffer = buffer_of(thread)[0] if extra or length > msg.N_MSG_REGISTERS else 0
    if buffer:
        start = buffer + msg.BUFFER_MSG + 8 * msg.N_MSG_REGISTERS
        words += _words_at(view, start, length - msg.N_MSG_REGISTERS)
        caps = _words_at(view, buffer + msg.BUFFER_CAPS, extra)
    return Request(registers, words, caps)


class Step:
    """One kernel entry. Made before it; ``finish`` adds what came of it.

    ``before`` is a picture of the view and ``buffers`` where its threads' IPC buffers lie, if that is known already.
    """

    after: View
    now: Picture
    """The state afterwards, as a picture."""
    executed: bool
    """Whether there was time for the system call: enough budget left, and the domain's time not over."""
    invoked: Cap
    """The cap that the sending half of a system call invoked; ``NULL`` if there was no time for it, or no cap."""
    completed: bool
    """Whether an invocation was carried out to its end: no error, no fault, not preempted, its caller runs on."""
    changed: int
    """The parts that this step may have changed, and the events that may have happened in it."""

    def __init__(
        self, view: View, trap: Trap, recorder: Recorder, before: Picture | None = None,
        buffers: Buffers | None = None,
    ) -> None:  # fmt: skip
        self.trap = trap
        self.changed = ALL
        self._recapped: Recapped | None = None
        self.recorder = recorder
        self.state: State = view.state
        self.caller = view.state.current
        self.authority = view.authority
        self.before = before or Picture.of_view(view)
        self.is_syscall = trap.kind == ECALL
        self.request = request_of(view, self.caller)
        # What queued senders named, should one of them be served in this step.
        self.queued = {t: request_of(view, t) for t in view.threads if isinstance(t.state, ko.BlockedOnSend)}
        self.buffers = buffers_of(view) if buffers is None else buffers
        self._slots = {address: slot_at(self.caller, address) for address in self._addresses()}
        self.operand = self._operand()
        self.derived = self._derived(view)

    def _addresses(self) -> set[int]:
        """The cap addresses that the request names."""
        request = self.request
        found = {request.target, *request.caps}
        if request.receives:
            found |= {request.registers[reg.CAP_REGISTER], request.registers[reg.REPLY_REGISTER]}
        return found

    def _operand(self) -> Slot | None:
        """The slot that a CNode invocation is about, by its first two words."""
        node, words = self.cap(self.request.target), self.request.words
        return slot_in(node, words[0], words[1]) if isinstance(node, CNodeCap) and len(words) > 1 else None

    def _derived(self, view: View) -> dict[Slot, Cap]:
        """What a Revoke is to take away: all that was derived from its operand."""
        slot = self.operand
        if slot is None or self.request.label != labels.CNODE_REVOKE or self.before.cap(slot) is NULL:
            return {}
        return {other: other.cap for other in view.tree.descendants(slot)}

    def finish(self, after: View, now: Picture | None = None, changed: int = ALL) -> None:
        """The kernel has returned. ``now`` is a picture of the view, if there is one already."""
        self._happened = self._events()
        self.after, self.changed = after, changed | self._happened
        self.now = Picture.of_view(after) if now is None else now
        self.executed = self._was_executed()
        self.invoked = self.cap(self.request.target) if self.executed and self.request.sends else NULL
        self.completed = self._was_completed()

    def _events(self) -> int:
        """What has happened in this kernel entry."""
        found = POLLS if "irq_pending" in self.recorder.looks else 0
        for effect in self.recorder.effects:
            found |= _EVENTS.get(effect[0], 0)
        refusal = self.state.refusal
        if refusal is not self.before.refusal and refusal is not None:
            found |= FAULTED if isinstance(refusal, ko.Fault) else REFUSED
        return found

    def slot(self, address: int) -> Slot | None:
        """The slot that one of the request's addresses led to before the step."""
        return self._slots.get(address)

    def cap(self, address: int) -> Cap:
        """The cap that one of the request's addresses led to before the step."""
        return self.before.cap(self._slots.get(address))

    def touched(self, kind: type) -> list[Any]:
        """Of the objects of that class there are now, those of which this step may have changed something."""
        return self.after.touched(kind)

    @property
    def recapped(self) -> Recapped:
        """The slots that hold another cap now."""
        if self._recapped is None:
            self._recapped = self.now.recapped(self.before)
        return self._recapped

    def _was_executed(self) -> bool:
        if not self.is_syscall or not self.recorder.times:
            return False
        kernel, config = self.before.kernel, self.state.config
        passed = self.recorder.times[0] - kernel["time"]
        refills = self.before.of(kernel["current_sc"], "refills")
        least: int = kernel["min_budget"]
        if refills and refills[0][1] - kernel["consumed"] - passed < least:
            return False
        return not (config.num_domains > 1 and passed + least >= kernel["domain_time"])

    def _was_completed(self) -> bool:
        registers = self.caller.registers
        if not self.executed or self.invoked is NULL or self.state.refusal is not self.before.refusal:
            return False
        # Who is to make a system call again starts at it.
        return self.caller.state is ko.RUNNING and registers[reg.NEXT_IP] != registers[reg.FAULT_IP]

    @property
    def refused(self) -> bool:
        """Whether the request was answered by an error (a fault is no error)."""
        return bool(self._happened & REFUSED)
