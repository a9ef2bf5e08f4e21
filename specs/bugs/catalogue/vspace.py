"""Address spaces, translations, and what devices reach."""

from specs.bugs.model import Bug, Edit

_DELETION = "capkernel.kernel.deletion"
_FASTPATH = "capkernel.kernel.fastpath"
_INVOCATIONS = "capkernel.kernel.invocations.vspace"
_VSPACE = "capkernel.kernel.vspace"


class S18(Bug):
    """Rights masked to none turn a page's entry into one that leads to a table.

    On RISC-V an entry without any of R, W, X points to the next table. A page mapped with no rights at all becomes a
    page table that its owner can write through another mapping: any memory, with any rights.
    """

    origin = "seL4 038d1fcd6"
    caught_by = ("G22", "G23", "G24")
    edits = (
        Edit(
            _VSPACE,
            "PTE_ACCESSED | PTE_DIRTY | PTE_VALID if bits else 0\n",
            "PTE_ACCESSED | PTE_DIRTY | PTE_VALID\n",
        ),
    )


class S19(Bug):
    """Mapping a page again compares the ASID with itself.

    A mapped cap may only change its rights, in the same address space. With a comparison that is always true it is
    mapped in another one, and the cap forgets the first mapping: that survives revocation and deletion.
    """

    origin = "seL4 9a58a37d6"
    caught_by = ("G22", "G24")
    edits = (
        Edit(
            _INVOCATIONS,
            "    if cap.asid != asid:\n",
            "    if cap.asid != cap.asid:\n",
        ),
    )


class S20(Bug):
    """A stale mapping is not recognised as such.

    What a cap says of its mapping can be out of date: the table above was removed, another page lies there now. Unless
    the entry is looked at before it is acted on, unmapping the one takes away the other, in whichever program has it.
    """

    origin = "seL4 014c53022"
    caught_by = ("G22b", "G22", "T1")
    edits = (
        Edit(
            _VSPACE,
            " and not is_table_pte(pte) and pte_paddr(pte) == cap.paddr:\n",
            " and not is_table_pte(pte):\n",
        ),
    )


class S21(Bug):
    """The IPC fast path does not check that an address space is still valid.

    An address space that was deleted, or whose ASID now belongs to another, must not be switched to. The slow path
    looks; the fast path believed the cap in the TCB, and let a server run in tables that were free memory again.
    """

    origin = "seL4 ebcfcb701"
    caught_by = ("G24", "H6")
    edits = (
        Edit(
            _FASTPATH,
            "    set_vm_root(state, to)\n",
            """\
    root = to.vspace_slot.cap
    if hasattr(root, "asid"):
        state.machine.set_vspace(root.paddr, root.asid)
    else:
        set_vm_root(state, to)
""",
        ),
    )


class S56(Bug):
    """No flush of the TLB after an unmap.

    The hardware believes what it has read. Until the entry happens to be evicted the page stays reachable: revoked
    memory, or memory that is somebody else's by now.
    """

    origin = "ours"
    caught_by = ("G32",)
    edits = (
        Edit(
            _VSPACE,
            """\
    state.machine.write_word(slot, pte)
    state.machine.flush_all()
""",
            """\
    state.machine.write_word(slot, pte)
""",
        ),
    )


class S57(Bug):
    """The IOSpace is not cleared when a frame is revoked.

    A device whose driver is taken over goes on reading and writing the frame after everybody else has lost it.
    """

    origin = "ours"
    caught_by = ("G31",)
    edits = (
        Edit(
            _DELETION,
            """\
    if cap.io is not None:
        iospace.unmap_frame(state, cap)
    elif""",
            """\
    if cap.io is not None:
        pass
    elif""",
        ),
    )
