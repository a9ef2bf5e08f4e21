"""What the garbage collector does not see of compiled kernel objects: they keep numbers and flags as plain C values.

Of a kernel that is plain Python it sees all, so there is nothing to be added.
"""

from typing import Any

from capkernel.kernel import objects as ko

IS_COMPILED = hasattr(ko.Slot, "__mypyc_attrs__")


def renew(items: list[Any], seen: list[int]) -> list[int]:
    """Look anew at all numbers and flags of these objects: ``seen`` is what they were, and becomes what they are.

    Returns the places of those that are others now. Of each kind there are always as many; those that are not in
    ``seen`` yet are added to it.
    """
    found: list[int] = []
    if not IS_COMPILED:
        return found
    at = 0
    for item in items:
        if isinstance(item, ko.Slot):
            at = _look(seen, at, item.index << 2 | item.revocable << 1 | item.first_badged, found)
            continue
        at = _look(seen, at, item.paddr, found)
        if isinstance(item, ko.TCB):
            at = _look(seen, at, item.priority, found)
            at = _look(seen, at, item.mcp, found)
            at = _look(seen, at, item.domain, found)
            at = _look(seen, at, item.flags, found)
            at = _look(seen, at, item.ipc_buffer, found)
            at = _look(seen, at, item.queued, found)
        elif isinstance(item, ko.SchedContext):
            at = _look(seen, at, item.size_bits, found)
            at = _look(seen, at, item.period, found)
            at = _look(seen, at, item.consumed, found)
            at = _look(seen, at, item.badge, found)
            at = _look(seen, at, item.refill_max, found)
            at = _look(seen, at, item.sporadic << 1 | item.turn_ended, found)
        elif isinstance(item, ko.Endpoint):
            at = _look(seen, at, item.state, found)
        elif isinstance(item, ko.Notification):
            at = _look(seen, at, item.state, found)
            at = _look(seen, at, item.badge, found)
        elif isinstance(item, ko.CNode):
            at = _look(seen, at, item.radix, found)
        elif isinstance(item, ko.ASIDPool):
            at = _look(seen, at, item.base, found)
    return found


def _look(seen: list[int], at: int, value: int, found: list[int]) -> int:
    """The number at that place is this one now; returns the next place."""
    if at == len(seen):
        seen.append(value)
    elif seen[at] != value:
        seen[at] = value
        found.append(at)
    return at + 1


def of_states(threads: list[ko.TCB]) -> list[int]:
    """The numbers and flags of what threads wait with."""
    found: list[int] = []
    if not IS_COMPILED:
        return found
    for thread in threads:
        state = thread.state
        if isinstance(state, ko.BlockedOnSend):
            found += [state.badge, state.can_grant << 2 | state.can_grant_reply << 1 | state.is_call]
    return found


def of_refills(contexts: list[ko.SchedContext]) -> list[int]:
    """The numbers of contexts' refills."""
    found: list[int] = []
    if not IS_COMPILED:
        return found
    for context in contexts:
        for refill in context.refills:
            found.append(refill.time)
            found.append(refill.amount)
    return found
