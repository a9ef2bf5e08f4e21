"""Who holds what: all threads, their CSpaces, all slots; and where a cap was derived from. Only reads the state."""

from collections.abc import Iterator
from dataclasses import dataclass

from capkernel.abi.words import WORD_BITS
from capkernel.kernel.caps import CNodeCap, same_object_as
from capkernel.kernel.objects import NULL, TCB, Cap, CNode, Slot, SlotContainer
from capkernel.kernel.slots import is_parent_of
from capkernel.kernel.state import State
from capkernel.runtime.snapshot import save
from capkernel.tools.explain.missing import Place


@dataclass(frozen=True)
class Holding:
    """A cap that a thread can name: the slot, and the cap address if 64 bits lead there exactly."""

    slot: Slot
    address: int | None


def place_of(slot: Slot) -> Place:
    """The name of a slot."""
    container = slot.container
    kind = type(container).__name__ if isinstance(container, CNode | TCB) else "IRQ table"
    return Place(kind, container.paddr, slot.index)


def containers(state: State) -> list[SlotContainer]:
    """Everything that has slots."""
    return [item for item, _ in save(state) if isinstance(item, SlotContainer)]


def slot_at(state: State, place: Place) -> Slot | None:
    """The slot of that name."""
    for container in containers(state):
        if container.paddr == place.paddr and place.index in container.slots:
            return container.slots[place.index]
    return None


def slots_of(state: State) -> Iterator[Slot]:
    """All slots that hold caps."""
    for container in containers(state):
        yield from (slot for slot in container.slots.values() if slot.cap is not NULL)


def threads(state: State) -> list[TCB]:
    """All threads but the idle thread, by address."""
    found = [item for item, _ in save(state) if isinstance(item, TCB) and item is not state.idle]
    return sorted(found, key=lambda thread: thread.paddr)


def holdings(thread: TCB) -> Iterator[Holding]:
    """The caps in a thread's CSpace, each CNode once, the shortest way to it first."""
    root = thread.cspace_slot.cap
    seen: set[int] = set()
    work: list[tuple[Cap, int | None, int]] = [(root, 0, WORD_BITS)]
    for cap, prefix, bits in work:
        if not isinstance(cap, CNodeCap) or cap.cnode.paddr in seen:
            continue
        seen.add(cap.cnode.paddr)
        left = bits - cap.radix - cap.guard_size
        for index in sorted(cap.cnode.slots):
            slot = cap.cnode.slots[index]
            if slot.cap is NULL:
                continue
            path = None
            if prefix is not None and left >= 0:
                path = (prefix << cap.guard_size | cap.guard) << cap.radix | index
            # Bits left over do not count, but for a CNode: the kernel would walk on into it.
            walks_on = left and isinstance(slot.cap, CNodeCap)
            yield Holding(slot, None if path is None or walks_on else path << left)
            work.append((slot.cap, path, left))


def ancestors(slot: Slot) -> list[Slot]:
    """The slots that a cap was derived from, nearest first (the list of slots is in prefix order)."""
    found: list[Slot] = []
    child, before = slot, slot.prev
    while before is not None:
        if is_parent_of(before, child):
            found.append(before)
            child = before
        before = before.prev
    return found


def children(slot: Slot) -> list[Slot]:
    """The slots whose caps were derived from a slot's, directly or not."""
    found, after = [], slot.next
    while after is not None and is_parent_of(slot, after):
        found.append(after)
        after = after.next
    return found


def other_caps(state: State, slot: Slot) -> list[Slot]:
    """The other slots with caps to the same object."""
    return [other for other in slots_of(state) if other is not slot and same_object_as(slot.cap, other.cap)]
