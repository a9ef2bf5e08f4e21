"""What the functions on caps say of caps that programs seldom or never bring together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.abi import errors as err
from capkernel.abi import rights as rt
from capkernel.kernel import objects as ko
from capkernel.kernel.caps import (
    CNodeCap,
    EndpointCap,
    FrameCap,
    IOSpaceCap,
    NotificationCap,
    UntypedCap,
    badge_of,
    brand_of,
    mask_cap_rights,
    region_of,
    same_object_as,
    update_cap_data,
    within,
)
from capkernel.kernel.cspace import resolve_address_bits
from capkernel.kernel.errors import LookupFault, SyscallError
from capkernel.kernel.syscall import ReplyLookupFault
from capkernel.kernel.transfer import ExtraCapFault

regions = st.builds(lambda base, bits: (base << bits, bits), st.integers(0, 64), st.integers(4, 8))
"""Aligned regions of 16 to 256 bytes, often side by side or one in the other."""


@given(regions, regions)
def test_a_region_lies_within_another_if_each_of_its_bytes_does(outer: tuple[int, int], inner: tuple[int, int]) -> None:
    bytes_of = [set(range(base, base + (1 << bits))) for base, bits in (outer, inner)]
    assert within(outer, inner) == (bytes_of[1] <= bytes_of[0])


frames = st.builds(FrameCap, st.sampled_from([0, 1 << 30]), st.sampled_from([12, 21, 30]), st.just(3), st.booleans())


@given(frames, frames)
def test_frames_are_one_object_if_place_size_and_kind_of_memory_are_the_same(one: FrameCap, other: FrameCap) -> None:
    same = (one.paddr, one.size_bits, one.is_device) == (other.paddr, other.size_bits, other.is_device)
    assert same_object_as(one, other) is same
    untyped = UntypedCap(one.paddr, one.size_bits, one.is_device, 0)
    assert not same_object_as(untyped, untyped)
    assert not same_object_as(one, untyped)
    assert not same_object_as(untyped, one)


def test_a_masked_cap_is_as_before_but_for_its_rights() -> None:
    frame = FrameCap(0x8000_0000, 21, rt.READ_WRITE, True, 5, 0x40_0000, (3, 4))
    less = mask_cap_rights(rt.READ, frame)
    assert isinstance(less, FrameCap)
    names = "paddr", "size_bits", "rights", "is_device", "asid", "vaddr", "io"
    assert [getattr(less, name) for name in names] == [0x8000_0000, 21, rt.READ, True, 5, 0x40_0000, (3, 4)]
    assert region_of(less) == (0x8000_0000, 21)


def test_what_a_mint_has_set_is_a_badge_or_a_device() -> None:
    endpoint, notification = EndpointCap(ko.Endpoint(16), 7, 15), NotificationCap(ko.Notification(64), 8, 3)
    device = IOSpaceCap(2, 9)
    caps = endpoint, notification, device, ko.NULL
    assert [badge_of(cap) for cap in caps] == [7, 8, 0, 0]
    assert [brand_of(cap) for cap in caps] == [7, 8, 9, 0]


@pytest.mark.parametrize(("radix", "guard"), [(4, 60), (4, 61), (10, 54), (10, 55), (10, 63)])
def test_a_node_and_its_guard_are_no_longer_than_an_address(radix: int, guard: int) -> None:
    made = update_cap_data(CNodeCap(ko.CNode(0x1000, radix), radix, 0, 0), 1 << 6 | guard, preserve=False)
    if radix + guard > 64:
        assert made is ko.NULL
    else:
        assert isinstance(made, CNodeCap)
        assert (made.guard, made.guard_size) == (1, guard)


@pytest.mark.parametrize(("bits", "kind"), [
    (3, err.GUARD_MISMATCH), (4, err.DEPTH_MISMATCH), (6, err.DEPTH_MISMATCH), (7, err.DEPTH_MISMATCH), (8, 0),
])  # fmt: skip
def test_a_node_takes_its_guard_and_its_radix_of_an_address(bits: int, kind: int) -> None:
    node = CNodeCap(ko.CNode(0x1000, 4), 4, 0b1010, 4)
    address = 0b1010 << max(0, bits - 4) | 0b0011
    if not kind:
        slot, left = resolve_address_bits(node, address, bits)
        assert (slot, left) == (node.cnode.slot(3), 0)
        return
    with pytest.raises(LookupFault) as refused:
        resolve_address_bits(node, 0b1010 << bits - 4 if bits >= 4 else 0, bits)
    failure = refused.value.failure
    words = (bits, 0b1010, 4) if kind == err.GUARD_MISMATCH else (bits, 8)
    assert (failure.kind, failure.words) == (kind, words)


def test_a_refusal_says_what_it_is_when_it_is_printed() -> None:
    assert repr(SyscallError(4, 1, 2)) == "SyscallError(4, (1, 2))"
    refused = LookupFault(2, 3, 4)
    assert repr(refused) == "LookupFault(2, (3, 4))"
    assert (refused.failure.kind, refused.failure.words) == (2, (3, 4))
    for fault in (ReplyLookupFault(0x77, refused.failure), ExtraCapFault(0x77, refused)):
        assert fault.args == (0x77,)
