"""Caps, rights and badges; addresses that lead to them."""

from specs.bugs.model import Bug, Edit

_CAPS = "capkernel.kernel.caps"
_CSPACE = "capkernel.kernel.cspace"
_DELETION = "capkernel.kernel.deletion"
_IRQ = "capkernel.kernel.invocations.irq"
_TCB = "capkernel.kernel.invocations.tcb"
_TRANSFER = "capkernel.kernel.transfer"


class S1(Bug):
    """Deleting a frame cap that is not the last one leaves the page mapped.

    Every frame cap stands for the mapping it made. The real kernel unmapped only when the last cap to the frame went,
    so whoever had been given a copy, had mapped it and lost the copy again kept reading and writing the page: revoked
    memory stayed reachable until its last cap died. Here the same test is put before the same unmapping.
    """

    origin = "seL4 08b926556"
    caught_by = ("G22",)
    edits = (
        Edit(
            _DELETION,
            """\
    if isinstance(cap, FrameCap):
        _unmap_frame(state, cap)
        return None
""",
            """\
    if isinstance(cap, FrameCap):
        if slots.is_final(slot):
            _unmap_frame(state, cap)
        return None
""",
        ),
    )


class S5(Bug):
    """A badged notification cap is not revocable.

    Minting a badge begins a subtree of its own, so that Revoke can take back just that badge. For one class of caps
    the kernel forgot to say so: the manager who revokes a client's badge takes nothing back, and copies of that badge
    are counted as children of whatever stands in front.
    """

    origin = "seL4 45bf84798"
    caught_by = ("G8b", "T5")
    note = "G8b is the part of G8 that speaks of badges (valid_badges)."
    edits = (
        Edit(
            _CAPS,
            """\
    if isinstance(new, NotificationCap) and isinstance(source, NotificationCap):
        return new.badge != source.badge
""",
            """\
    if isinstance(new, NotificationCap) and isinstance(source, NotificationCap):
        return False
""",
        ),
    )


class S6(Bug):
    """A new priority is checked against its target's mcp, not the authority's.

    TCB_SetPriority names a second TCB, whose maximum controlled priority bounds what may be set. Checked against the
    thread that is changed, the bound is void: a server that sets priorities on behalf of clients raises any thread
    whose own mcp is high above what the client may give (a confused deputy).
    """

    origin = "seL4 05b83acd9"
    caught_by = ("T12",)
    edits = (
        Edit(
            _TCB,
            """\
    priority = call.arg(0)
    _check_priority(priority, authority)
""",
            """\
    priority = call.arg(0)
    _check_priority(priority, tcb)
""",
        ),
    )


class S7(Bug):
    """Rights taken from a cap come back when it is sent through an endpoint.

    What a holder was given with fewer rights must stay so however it travels. In the real kernel, receiving through a
    diminishing endpoint took rights from a cap but not from the CNode cap that leads to it, so sending the CNode got
    around it. There are no diminishing endpoints any more; the same promise is broken here where a cap is copied to a
    receiver: an endpoint cap arrives with all rights, so two accomplices turn a cap to signal into one to receive.
    """

    origin = "seL4 e61a1056c"
    caught_by = ("T3", "G5", "T2")
    edits = (
        Edit(
            _TRANSFER,
            """\
        copy = derive_cap(slot, slot.cap)
""",
            """\
        copy = derive_cap(slot, slot.cap)
        if isinstance(copy, EndpointCap):
            copy = EndpointCap(copy.endpoint, copy.badge, 15)
""",
        ),
    )


class S8(Bug):
    """The cap to an IPC buffer is copied with its mapping instead of derived.

    A copy of a frame cap is not mapped: only the cap that made a mapping may undo it. The kernel put the caller's cap
    into the TCB as it was. When that TCB is destroyed its copy is deleted, and the page vanishes from the address
    space of somebody who still holds a good cap to it.
    """

    origin = "seL4 04106920c"
    caught_by = ("T3", "G22")
    edits = (
        Edit(
            _TCB,
            """\
    cap = slots.derive_cap(source, source.cap)
    if not isinstance(cap, FrameCap)""",
            """\
    cap = source.cap
    if not isinstance(cap, FrameCap)""",
        ),
    )


class S9(Bug):
    """A shift of a 32-bit one by a large number.

    ``1 << n`` in C is 32 bits wide: for n of 32 and more it means nothing, and on the machine it takes n modulo 32.
    Here the mask that a guard is compared under is computed so. A guard of 48 or 58 bits is then compared in its low
    bits only, and addresses that lead nowhere lead to somebody's cap.
    """

    origin = "seL4 49d76f2c3"
    caught_by = ("T3", "T14", "T8", "T6b", "T13", "G21b")
    note = (
        "Python's integers do not overflow, so T15 (the kernel raises) cannot be what notices; what does is that a "
        "cap acts which the address, by the oracle's own reading of the manual, does not name: G21b if that is the cap "
        "to a scheduling context."
    )
    edits = (
        Edit(
            _CSPACE,
            "address >> (bits - guard_size) & MASK[guard_size] != node.guard:",
            "address >> (bits - guard_size) & (1 << guard_size % 32) - 1 != node.guard % (1 << guard_size % 32):",
        ),
        Edit(
            _CSPACE,
            "root.radix + root.guard_size == WORD_BITS and address >> root.radix == root.guard:",
            "root.radix + root.guard_size == WORD_BITS and False:",
        ),
    )


class S10(Bug):
    """An interrupt number out of range indexes a table.

    IRQControl_Get takes any word. Without the upper bound the kernel reads, and then writes, behind the end of its
    table of interrupt states: a denial of service at least, in C a write to memory of the attacker's choice.
    """

    origin = "seL4 06bd6e006"
    caught_by = ("T15",)
    edits = (
        Edit(
            _IRQ,
            "    if not 1 <= irq <= state.config.timer_irq:\n",
            "    if irq < 1:\n",
        ),
    )


class S22(Bug):
    """Two caps are to the same object if two booleans are equal.

    A comparison of the form (a is X) == (b is X) is also true when both are false, and does not look at which object
    it is. The last cap to a thread then looks like one of several if its neighbour in the derivation list is a cap to
    another thread: the cap goes, the thread stays, and nobody can stop it any more.
    """

    origin = "seL4 1ec7ce865"
    caught_by = ("T6", "G2", "G11", "G26")
    note = "G5 looks at derivation, which is right here; what is wrong is who is counted as the last."
    edits = (
        Edit(
            _CAPS,
            """\
        return isinstance(other, IOSpaceCap) and one.request_id == other.request_id
    return same_region_as(one, other)
""",
            """\
        return isinstance(other, IOSpaceCap) and one.request_id == other.request_id
    return isinstance(one, ThreadCap) == isinstance(other, ThreadCap)
""",
        ),
    )
