"""What the functions on caps say of caps that programs seldom or never bring together."""

from hypothesis import given
from hypothesis import strategies as st

from capkernel.abi import rights as rt
from capkernel.kernel import objects as ko
from capkernel.kernel.caps import (
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
    within,
)
from capkernel.kernel.errors import LookupFault, SyscallError

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


def test_a_refusal_says_what_it_is_when_it_is_printed() -> None:
    assert repr(SyscallError(4, 1, 2)) == "SyscallError(4, (1, 2))"
    refused = LookupFault(2, 3, 4)
    assert repr(refused) == "LookupFault(2, (3, 4))"
    assert (refused.failure.kind, refused.failure.words) == (2, (3, 4))
