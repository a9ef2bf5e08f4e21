"""Rows whose mechanism this kernel lacks: that it does."""

from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.kernel.caps import ThreadCap
from specs.direct import Direct
from specs.invariants.resolve import slot_at
from specs.programs import SLOTS, Layout, Syscall
from specs.programs.layout import TEST_BITS

FREE = 60


def test_no_cap_to_a_dead_thread_leads_to_its_successor() -> None:
    """S50: a thread is named by caps, which go with it; one that is made in the same place has other names."""
    direct = Direct(Layout())

    def cap(index: int) -> object:
        slot = slot_at(direct.state.current, index)
        assert slot is not None
        return slot.cap

    def retype() -> None:
        words = (obj.TCB, 0, 0, 0, FREE, 1)
        assert (
            direct.call(Syscall(cap=SLOTS["untyped"], label=labels.UNTYPED_RETYPE, words=words, caps=(SLOTS["cnode"],)))
            is None
        )

    retype()
    words = (FREE + 1, TEST_BITS, FREE, TEST_BITS, 15)
    assert (
        direct.call(Syscall(cap=SLOTS["cnode"], label=labels.CNODE_COPY, words=words, caps=(SLOTS["cnode"],))) is None
    )
    first = cap(FREE)
    assert isinstance(first, ThreadCap)
    revoke = Syscall(cap=SLOTS["cnode"], label=labels.CNODE_REVOKE, words=(SLOTS["untyped"], TEST_BITS))
    assert direct.call(revoke) is None
    retype()
    successor, other = cap(FREE), cap(FREE + 1)
    assert isinstance(successor, ThreadCap)
    assert successor.tcb.paddr == first.tcb.paddr
    assert not isinstance(other, ThreadCap), "an old name leads to the new thread"
