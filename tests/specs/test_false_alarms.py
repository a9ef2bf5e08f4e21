"""What once seemed wrong, and is as in seL4: no invariant may object to it."""

from dataclasses import replace

from capkernel.abi import bootinfo as bi
from capkernel.abi import iospace as io
from capkernel.abi import labels
from specs.check import checked
from specs.programs import SLOTS, Compute, Layout, Program, Syscall, Worker
from specs.programs.layout import ASK, TEST_BITS

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


def test_who_is_woken_runs_before_one_of_higher_priority_that_came_into_the_domain_unnoticed() -> None:
    """DomainSet_Set does not make the kernel choose anew, and neither does waking a thread that outranks who runs."""
    go_on = Syscall(cap=SLOTS["tcb1"], label=labels.TCB_WRITE_REGISTERS, words=(1, 1, ASK))
    domain_set = Syscall(cap=SLOTS["domain"], label=labels.DOMAIN_SET_SET, caps=(SLOTS["tcb0"],))
    program = Program(layout=Layout(workers=(Worker(priority=120), Worker(priority=110))), steps=(
        replace(domain_set, words=(1,)), Syscall(cap=SLOTS["tcb1"], label=labels.TCB_SUSPEND),
        replace(domain_set, words=(0,)), go_on, Compute(1),
    ))  # fmt: skip
    execution = checked(program)
    assert execution.problem is None
    assert execution.ran == ["worker0", "worker1", "rootserver", "rootserver", "worker1"]


def test_a_device_s_address_is_what_its_tables_look_at() -> None:
    """As seL4 on x86, the kernel does not object to upper bits: it maps, and unmaps, at what is left without them."""
    mapped = Syscall(cap=SLOTS["frame1"], label=io.PAGE_MAP_IO, words=(2, 1 << 63), caps=(SLOTS["iospace"],))
    unmapped = Syscall(cap=SLOTS["frame1"], label=labels.PAGE_UNMAP)
    for steps in (unmapped, mapped), (unmapped, mapped, unmapped):
        assert checked(Program(Layout(board="virt_iommu", workers=()), steps)).problem is None
