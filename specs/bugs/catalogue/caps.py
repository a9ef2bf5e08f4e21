"""Caps, rights and badges."""

from specs.bugs.model import Bug, Edit

_DELETION = "capkernel.kernel.deletion"
_TCB = "capkernel.kernel.invocations.tcb"


class S1(Bug):
    """Deleting a frame cap that is not the last one left the page mapped.

    Every frame cap stands for the mapping it made. The real kernel unmapped only when the last cap to the frame went,
    so whoever had been given a copy, had mapped it and lost the copy again kept reading and writing the page: revoked
    memory stayed reachable until its last cap died. Here the same test is put before the same unmapping.
    """

    origin = "seL4 08b926556"
    caught_by = ("G22",)
    edits = (
        Edit(
            _DELETION,
            "    if isinstance(cap, FrameCap):\n        _unmap_frame(state, cap)\n        return None\n",
            "    if isinstance(cap, FrameCap):\n        if slots.is_final(slot):\n"
            "            _unmap_frame(state, cap)\n        return None\n",
        ),
    )


class S6(Bug):
    """A new priority was checked against the mcp of its target instead of the authority's.

    TCB_SetPriority names a second TCB, whose maximum controlled priority bounds what may be set. Checked against the
    thread that is changed, the bound is void: a server that sets priorities on behalf of clients raises any thread
    whose own mcp is high above what the client may give (a confused deputy).
    """

    origin = "seL4 05b83acd9"
    caught_by = ("T12",)
    edits = (
        Edit(
            _TCB,
            "    priority = call.arg(0)\n    _check_priority(priority, authority)\n",
            "    priority = call.arg(0)\n    _check_priority(priority, tcb)\n",
        ),
    )
