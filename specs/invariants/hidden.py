"""What the garbage collector does not see of compiled kernel objects: they keep numbers and flags as plain C values.

Of a kernel that is plain Python it sees all, so there is nothing to be added.
"""

from typing import Any

from capkernel.kernel import objects as ko

IS_COMPILED = hasattr(ko.Slot, "__mypyc_attrs__")


def in_slots(slots: list[ko.Slot]) -> list[int]:
    """Place and flags of each slot."""
    if not IS_COMPILED:
        return []
    return [slot.index << 2 | slot.revocable << 1 | slot.first_badged for slot in slots]


def in_objects(threads: list[ko.TCB], contexts: list[ko.SchedContext], others: list[Any]) -> list[int]:
    """All numbers and flags of threads and their states, of scheduling contexts and their refills, and of others."""
    found: list[int] = []
    if not IS_COMPILED:
        return found
    for thread in threads:
        found += [
            thread.paddr, thread.priority, thread.mcp, thread.domain, thread.flags, thread.ipc_buffer, thread.queued,
        ]  # fmt: skip
        state = thread.state
        if isinstance(state, ko.BlockedOnSend):
            found += [state.badge, state.can_grant, state.can_grant_reply, state.is_call]
    for context in contexts:
        found += [
            context.paddr, context.size_bits, context.period, context.consumed, context.badge, context.sporadic,
            context.turn_ended, context.refill_max,
        ]  # fmt: skip
        for refill in context.refills:
            found += [refill.time, refill.amount]
    for item in others:
        found.append(item.paddr)
        if isinstance(item, ko.Endpoint):
            found.append(item.state)
        elif isinstance(item, ko.Notification):
            found += [item.state, item.badge]
        elif isinstance(item, ko.CNode):
            found.append(item.radix)
        elif isinstance(item, ko.ASIDPool):
            found.append(item.base)
    return found
