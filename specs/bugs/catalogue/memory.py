"""Untyped memory, retyping, and what lies in memory."""

from specs.bugs.model import Bug, Edit

_BOOT = "capkernel.kernel.boot"
_DELETION = "capkernel.kernel.deletion"
_UNTYPED = "capkernel.kernel.invocations.untyped"


class S11(Bug):
    """Retype checks the largest size wrongly.

    Whether the objects fit is asked of the first one only. A Retype of several then runs over the end of its untyped,
    into memory that belongs to somebody else: two objects in one place, and the whole system is the attacker's.
    """

    origin = "seL4 5fe431f6e"
    caught_by = ("G9", "G9b", "G10", "G1", "G7")
    edits = (
        Edit(
            _UNTYPED,
            "    if free_bytes >> object_bits < count:\n",
            "    if free_bytes >> object_bits < 1:\n",
        ),
    )


class S12(Bug):
    """Retype does not align the first object.

    After a small object the watermark lies at an odd place. A page that begins there cannot be what its cap says: the
    page table entry rounds the address down, and the page shows what lies in front of it.
    """

    origin = "seL4 3b2b64a09"
    caught_by = ("G9",)
    edits = (
        Edit(
            _UNTYPED,
            "    first = align_up(cap.paddr + free_offset, object_bits)\n",
            "    first = cap.paddr + free_offset\n",
        ),
    )


class S13(Bug):
    """The watermark of a large untyped overflows.

    It was computed in a type too small for large regions. Here it is kept in 16 bits: when an untyped of 64 KiB is
    used to its last byte the watermark wraps to zero, and what was given out is given out again.
    """

    origin = "seL4 ab313d62b"
    caught_by = ("G10",)
    edits = (
        Edit(
            _UNTYPED,
            "untyped.is_device, paddr - untyped.paddr)",
            "untyped.is_device, paddr - untyped.paddr & 0xFFFF)",
        ),
    )


class S14(Bug):
    """The size of an object is not a power of two.

    Objects follow each other at the distance of their size, and everything that derives an object's end, its
    alignment, or whether it fits from ``size_bits`` believes that this is a power of two. Here threads take the 8 bytes
    less that their fields need.
    """

    origin = "seL4 1c28462eb"
    caught_by = ("G9", "G9b", "G10")
    edits = (
        Edit(
            _UNTYPED,
            "        paddr += BIT[object_bits]\n",
            "        paddr += BIT[object_bits] - 8 * isinstance(cap, ThreadCap)\n",
        ),
    )


class S16(Bug):
    """Retype clears the wrong memory: old data is visible.

    What an untyped held before is cleared when it is used again. Cleared from the wrong address on, a new page still
    has its last owner's contents: passwords, keys, page tables.
    """

    origin = "seL4 10d6cc0ae"
    caught_by = ("T7",)
    edits = (
        Edit(
            _UNTYPED,
            "        state.machine.clear(cap.paddr + bottom, ",
            "        state.machine.clear(cap.paddr + top, ",
        ),
    )


class S17(Bug):
    """At boot, free memory overlaps memory that is kept back.

    The initial task is given untypeds for all memory that is left. If what the kernel itself uses is counted in (here
    the device windows: interrupt controller and timer), the initial task maps it and is the kernel.
    """

    origin = "seL4 4018ad594"
    caught_by = ("G9c",)
    note = "G9c is the part of G9 that speaks of memory which is no object: the kernel's own."
    edits = (
        Edit(
            _BOOT,
            "    kept = sorted([*config.ram, *config.reserved])\n",
            "    kept = sorted(config.ram)\n",
        ),
    )


class S52(Bug):
    """A page is wiped while others can still write to it: survivors lose updates.

    Ours, in the CPU made of host processes: a page that was taken from one owner was punched out of the shared memory
    before it was write-protected in the others. The same order of things here: a frame is cleared when one of its caps
    is deleted, though others have it mapped, read their own stores as zeros, and are told nothing.
    """

    origin = "ours"
    caught_by = ("T7b",)
    note = "T8 and H5 speak of messages and of two CPU models; T7b sees it where it happens."
    edits = (
        Edit(
            _DELETION,
            "        vspace.unmap_page(state, cap)\n",
            """\
        if not cap.is_device:
            state.machine.clear(cap.paddr, 2**cap.size_bits)
        vspace.unmap_page(state, cap)
""",
        ),
    )
