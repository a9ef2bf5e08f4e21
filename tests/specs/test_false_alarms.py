"""What once seemed wrong, and is as in seL4: no invariant may object to it."""

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels
from specs.check import checked
from specs.programs import SLOTS, Program, Syscall
from specs.programs.layout import TEST_BITS

VSPACE = (SLOTS["vspace_root"],)


def test_a_frame_mapped_again_without_rights_takes_anothers_entry_away() -> None:
    """``frame1`` is mapped at 0x22000 with no rights, so without an entry; the other frame comes in between."""
    again = (0x22000, 0, 1)
    program = Program(steps=(
        Syscall(cap=SLOTS["frame0_readonly"], label=labels.PAGE_UNMAP),
        Syscall(cap=SLOTS["frame0_readonly"], label=labels.PAGE_MAP, words=(0x22000, 0, 0), caps=VSPACE),
        Syscall(cap=SLOTS["frame1"], label=labels.PAGE_MAP, words=again, caps=VSPACE),
    ))  # fmt: skip
    assert checked(program).problem is None


def test_the_initial_thread_may_be_destroyed_like_any_other() -> None:
    """The kernel goes on knowing which it was."""
    program = Program(steps=(
        Syscall(cap=SLOTS["own_cnode"], label=labels.CNODE_DELETE, words=(bi.CAP_INIT_TCB, 64)),
        Syscall(cap=SLOTS["cnode"], label=labels.CNODE_DELETE, words=(SLOTS["tcb_root"], TEST_BITS)),
    ))  # fmt: skip
    assert checked(program).problem is None
