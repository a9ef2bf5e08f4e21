"""What the garbage collector does not see of compiled kernel objects: they keep numbers and flags as plain C values.

Of a kernel that is plain Python it sees all, so there is nothing to be added.
"""

from typing import Any

from capkernel.kernel import objects as ko

IS_COMPILED = hasattr(ko.Slot, "__mypyc_attrs__")


def numbers(items: list[Any]) -> list[int]:
    """All numbers and flags of these objects, of each kind always as many."""
    found: list[int] = []
    if not IS_COMPILED:
        return found
    for item in items:
        if isinstance(item, ko.Slot):
            found.append(item.index << 2 | item.revocable << 1 | item.first_badged)
            continue
        found.append(item.paddr)
        if isinstance(item, ko.TCB):
            found += [item.priority, item.mcp, item.domain, item.flags, item.ipc_buffer, item.queued]
        elif isinstance(item, ko.SchedContext):
            found += [item.size_bits, item.period, item.consumed, item.badge, item.refill_max]
            found += [item.sporadic, item.turn_ended]
        elif isinstance(item, ko.Endpoint):
            found.append(item.state)
        elif isinstance(item, ko.Notification):
            found += [item.state, item.badge]
        elif isinstance(item, ko.CNode):
            found.append(item.radix)
        elif isinstance(item, ko.ASIDPool):
            found.append(item.base)
    return found


def carried(threads: list[ko.TCB], contexts: list[ko.SchedContext]) -> list[int]:
    """The numbers and flags of what threads wait with, and of contexts' refills."""
    found: list[int] = []
    if not IS_COMPILED:
        return found
    for thread in threads:
        state = thread.state
        if isinstance(state, ko.BlockedOnSend):
            found += [state.badge, state.can_grant, state.can_grant_reply, state.is_call]
    for context in contexts:
        for refill in context.refills:
            found += [refill.time, refill.amount]
    return found
