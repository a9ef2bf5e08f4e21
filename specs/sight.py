"""What there is to be named right now: a generator that sees it makes up steps that have an effect more often.

It looks at nothing but the CSpace of whoever runs, as that thread could by asking; it knows of no defect.
"""

from collections.abc import Sequence

from capkernel.kernel import caps as kc
from capkernel.kernel.objects import EP_RECEIVE, EP_SEND, INACTIVE, NULL, TCB, Blocked, BlockedOnReply, Cap, CNode
from capkernel.kernel.scheduler import is_runnable
from capkernel.kernel.slots import is_parent_of
from capkernel.kernel.vspace import vspace_root
from specs.invariants.regions import referent
from specs.invariants.resolve import slot_at
from specs.invariants.spaces import find_leaf
from specs.programs.layout import World

Place = tuple[int, list[int]]
"""An address, and the slots that hold caps to the root of the address space in which it is meant."""

_JOINED: dict[type[Cap], tuple[str, ...]] = {
    kc.SchedContextCap: ("tcb", "notification"), kc.ThreadCap: ("sched_context",),
    kc.NotificationCap: ("bound_tcb", "sched_context"),
}  # fmt: skip
"""Fields that say what an object is bound to, if to anything."""
_BOUND = ("tcb", "sched_context", "notification", "bound_notification", "bound_tcb", "yield_from")
"""Fields by which objects are bound to each other."""


class Sight:
    """The CNode that the running thread sees at address 0, slot by slot; ``look`` brings it up to date."""

    def __init__(self, world: World) -> None:
        self._state = world.state
        self._machine = world.machine
        self._guardian = world.guardian
        self._first: dict[int, tuple[type[Cap], bool]] = {}
        self._node: CNode | None = None
        self.look()

    def look(self) -> None:
        """Look again; what is seen first decides which kind of cap a slot stands for."""
        slot = slot_at(self._state.current, 0)
        container = None if slot is None else slot.container
        self._node = container if isinstance(container, CNode) else None
        if self._node is not None:
            for index, found in self._node.slots.items():
                if found.cap is not NULL:
                    self._first.setdefault(index, _kind(found.cap))

    def knows(self, index: int) -> bool:
        """Whether a slot ever held a cap when it was looked at."""
        return index in self._first

    def like(self, index: int) -> Sequence[int]:
        """The slots that now hold caps of the kind that this one held first; none if nothing can be seen."""
        kind = self._first.get(index)
        if self._node is None or kind is None:
            return ()
        return [other for other, slot in self._node.slots.items() if _kind(slot.cap) == kind]

    def unbound(self, index: int) -> Sequence[int]:
        """The slots that hold caps of the kind that this one holds, to something to which nothing is bound."""
        cap = self._cap(index)
        fields = _JOINED.get(type(cap), ())
        if self._node is None or not fields:
            return ()
        return [
            n for n, slot in self._node.slots.items()
            if type(slot.cap) is type(cap) and not any(getattr(referent(slot.cap), field) for field in fields)
        ]  # fmt: skip

    def inside(self, index: int) -> tuple[list[int], list[int]] | None:
        """Used and empty indices of the CNode behind the cap at an index, the first 64 of them; None if it is none."""
        cap = self._cap(index)
        if not isinstance(cap, kc.CNodeCap):
            return None
        slots = cap.cnode.slots
        count = min(1 << cap.radix, 64)
        used = [n for n in range(count) if n in slots and slots[n].cap is not NULL]
        return used, [n for n in range(count) if n not in slots or slots[n].cap is NULL]

    def is_bare(self, index: int) -> bool:
        """Whether there is a CNode behind the cap at an index, of which no slot is used."""
        found = self.inside(index)
        return found is not None and not found[0]

    def depth(self, index: int) -> int | None:
        """How many bits lead to a slot of the CNode behind the cap at an index; None if it is none."""
        cap = self._cap(index)
        return cap.radix + cap.guard_size if isinstance(cap, kc.CNodeCap) else None

    def bound_to(self, index: int) -> list[int]:
        """The slots that hold caps to what the object at an index is bound to."""
        target = referent(self._cap(index))
        bound = [getattr(target, field, None) for field in _BOUND]
        if self._node is None:
            return []
        return [
            n for n, slot in self._node.slots.items()
            if (other := referent(slot.cap)) is not None and any(other is item for item in bound)
        ]  # fmt: skip

    def place(self, index: int) -> Place | None:
        """Where the frame or table at an index is mapped; None if it is nowhere, as far as its cap says."""
        cap = self._cap(index)
        return self._place(cap) if isinstance(cap, kc.FrameCap | kc.PageTableCap) and cap.asid else None

    def vacated(self) -> list[Place]:
        """Where frames are mapped as far as their caps say, but nothing is."""
        slots = {} if self._node is None else self._node.slots
        frames = [slot.cap for slot in slots.values() if isinstance(slot.cap, kc.FrameCap) and slot.cap.asid]
        return [self._place(cap) for cap in frames if not self._has_page(cap)]

    def _place(self, cap: kc.FrameCap | kc.PageTableCap) -> Place:
        root = vspace_root(self._state, cap.asid)
        slots = {} if self._node is None else self._node.slots
        return cap.vaddr, [n for n, s in slots.items() if isinstance(s.cap, kc.PageTableCap) and s.cap.paddr == root]

    def _has_page(self, cap: kc.FrameCap) -> bool:
        root = vspace_root(self._state, cap.asid)
        return not root or find_leaf(self._machine, root, cap.vaddr)[0] is not None

    def mapped(self, index: int) -> list[int]:
        """The slots that hold caps of the kind that the one at an index is, which say that they are mapped."""
        kind = type(self._cap(index))
        slots = {} if self._node is None else self._node.slots
        caps = [(n, s.cap) for n, s in slots.items() if isinstance(s.cap, kc.FrameCap | kc.PageTableCap)]
        return [n for n, cap in caps if type(cap) is kind and cap.asid]

    def owed(self) -> list[int]:
        """The slots that hold caps to reply objects on which somebody waits for an answer.

        Only to those by which the running thread got the time that it runs on, if there are such.
        """
        slots = {} if self._node is None else self._node.slots
        replies = [(n, s.cap.reply) for n, s in slots.items() if isinstance(s.cap, kc.ReplyCap)]
        waited = [(n, reply) for n, reply in replies if reply.tcb and isinstance(reply.tcb.state, BlockedOnReply)]
        return [n for n, r in waited if r.next is self._state.current_sc] or [n for n, _ in waited]

    def runs_on_lent_time(self) -> bool:
        """Whether the running thread got its time with a call that it has not answered yet."""
        return self._state.current_sc.reply is not None

    def expected(self) -> list[int]:
        """The slots that hold caps to endpoints and notifications on which somebody waits to receive.

        Without those that the running thread had better not use (``strands``).
        """
        slots = {} if self._node is None else self._node.slots
        return [n for n, slot in slots.items() if _first_waiter(slot.cap) is not None and not self.strands(n)]

    def strands(self, index: int) -> bool:
        """Whether who gets a message through the cap at an index has no time to run on, and gets none with it.

        The thread of lowest priority never waits for an answer, so that it lends nobody its time.
        """
        first = _first_waiter(self._cap(index))
        return self.alone() and first is not None and first.sched_context is None

    def offered(self) -> list[int]:
        """The slots that hold caps to endpoints at which somebody waits to be received from."""
        slots = {} if self._node is None else self._node.slots
        return [
            n for n, s in slots.items() if isinstance(s.cap, kc.EndpointCap) and s.cap.endpoint.state == EP_SEND
        ]  # fmt: skip

    def in_use(self) -> list[int]:
        """The slots that hold caps to what anybody waits on, or to frames that are mapped, here or for devices."""
        slots = {} if self._node is None else self._node.slots
        return [n for n, slot in slots.items() if _is_in_use(slot.cap)]

    def is_waited_for(self) -> bool:
        """Whether somebody waits for what the running thread could say or hear."""
        return bool(self.owed() or self.expected() or self.offered())

    def alone(self) -> bool:
        """Whether the thread of lowest priority runs: all others wait for something, or are stopped."""
        return self._state.current is self._guardian

    def stopped(self) -> list[int]:
        """The slots that hold caps to threads that are stopped."""
        return [n for n, thread in self._threads() if thread.state is INACTIVE]

    def timeless(self) -> list[int]:
        """The slots that hold caps to threads that could run, had they a scheduling context."""
        return [n for n, thread in self._threads() if is_runnable(thread) and thread.sched_context is None]

    def spare_time(self) -> list[int]:
        """The slots that hold caps to scheduling contexts that are bound to nothing."""
        slots = {} if self._node is None else self._node.slots
        contexts = [(n, s.cap.sched_context) for n, s in slots.items() if isinstance(s.cap, kc.SchedContextCap)]
        return [n for n, context in contexts if context.tcb is None and context.notification is None]

    def waiting(self, index: int) -> list[int]:
        """The slots that hold caps of the kind that the one at an index is, to threads that wait, or to their time."""
        kind = type(self._cap(index))
        slots = {} if self._node is None or kind not in (kc.ThreadCap, kc.SchedContextCap) else self._node.slots
        found = [(n, slot.cap) for n, slot in slots.items() if type(slot.cap) is kind]
        threads = [(n, getattr(cap, "tcb", None) or referent(cap).tcb) for n, cap in found]
        return [n for n, thread in threads if thread is not None and isinstance(thread.state, Blocked)]

    def _threads(self) -> list[tuple[int, TCB]]:
        slots = {} if self._node is None else self._node.slots
        return [(n, slot.cap.tcb) for n, slot in slots.items() if isinstance(slot.cap, kc.ThreadCap)]

    def parents(self, index: int) -> list[int]:
        """The indices, in the CNode behind the cap at an index, of caps from which others were derived."""
        cap = self._cap(index)
        slots = cap.cnode.slots if isinstance(cap, kc.CNodeCap) else {}
        return [n for n, slot in slots.items() if slot.next is not None and is_parent_of(slot, slot.next)]

    def _cap(self, index: int) -> Cap:
        slot = None if self._node is None else self._node.slots.get(index)
        return NULL if slot is None else slot.cap


def _kind(cap: Cap) -> tuple[type[Cap], bool]:
    """What a cap is good for: its class, and whether it is in use in an address space."""
    return type(cap), isinstance(cap, kc.PageTableCap) and cap.is_mapped


def _first_waiter(cap: Cap) -> TCB | None:
    """Who is first to receive what is sent through a cap."""
    if isinstance(cap, kc.EndpointCap):
        return cap.endpoint.queue.head if cap.endpoint.state == EP_RECEIVE else None
    return cap.notification.queue.head if isinstance(cap, kc.NotificationCap) else None


def _is_in_use(cap: Cap) -> bool:
    if isinstance(cap, kc.FrameCap):
        return bool(cap.asid) or cap.io is not None
    if isinstance(cap, kc.ReplyCap):
        return cap.reply.tcb is not None
    return isinstance(cap, kc.EndpointCap | kc.NotificationCap) and referent(cap).queue.head is not None
