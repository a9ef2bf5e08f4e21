"""Parts of a state and events of a step, as bits of a number: what a predicate reads, and what has changed.

A part is a field of a kind of object (``TCB.priority``), or one of the parts that are no field of the kernel's objects:

    caps          the caps in all slots, their links and flags, which objects they lead to
    tables        the page tables in RAM that address spaces lead to, and which spaces there are
    translations  what the TLB holds, and the address space that the machine runs in
    iommu         the tables of the IOMMU, and what its own buffer holds

An event happens in a kernel entry, or does not:

    refused       a request was answered by an error
    faulted       a thread did what the kernel could not let pass
    lines         an interrupt line was claimed, completed or masked
    clears        memory was cleared
    polls         the kernel asked whether an interrupt waits
"""

from capkernel.runtime.snapshot import FIELDS

OTHERS = ("caps", "tables", "translations", "iommu", "refused", "faulted", "lines", "clears", "polls")
_KINDS = {kind.__name__: kind for kind in FIELDS}
_NAMES = [f"{kind.__name__}.{name}" for kind, names in FIELDS.items() for name in names]
_BITS = {name: 1 << number for number, name in enumerate((*OTHERS, *_NAMES))}
ALL = (1 << len(_BITS)) - 1
CAPS, TABLES, TRANSLATIONS, IOMMU, REFUSED, FAULTED, LINES, CLEARS, POLLS = (_BITS[name] for name in OTHERS)


def bit(kind: type, field: str) -> int:
    """The part that is a field."""
    return _BITS[f"{kind.__name__}.{field}"]


def parts(names: str) -> int:
    """The parts of these names, separated by blanks; ``TCB.*`` are all fields of that kind. Raises KeyError."""
    found = 0
    for name in names.split():
        kind, _, field = name.partition(".")
        if field == "*":
            for each in FIELDS[_KINDS[kind]]:
                found |= _BITS[f"{kind}.{each}"]
        else:
            found |= _BITS[name]
    return found


REFERENCES = parts(
    "TCB.sched_context TCB.yield_to TCB.bound_notification TCB.queue_next TCB.queue_prev TCB.state Endpoint.queue "
    "Notification.queue Notification.bound_tcb Notification.sched_context Reply.tcb Reply.prev Reply.next "
    "SchedContext.tcb SchedContext.reply SchedContext.notification SchedContext.yield_from State.idle State.idle_sc "
    "State.initial State.current State.current_sc State.irq_slots State.candidate State.ready State.release "
    "State.asid_table"
)
"""All by which objects refer to each other, other than caps."""

CONSTANTS = parts("State.min_budget State.max_release_time")
"""What never changes while a kernel runs."""


def names_of(mask: int) -> list[str]:
    """The names of the parts in a mask."""
    return [name for name, part in _BITS.items() if mask & part]
