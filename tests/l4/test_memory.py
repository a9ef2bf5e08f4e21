"""Memory that is handed out once, or within a quota: the tables of sigma0 and of factories."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.abi import objects as obj
from capkernel.protocols.failures import AlreadyExists, Failure, Malformed, NoSpace, NotFound, QuotaExceeded
from capkernel.protocols.l4 import Fpage, Kind, MemoryDescriptor
from servers.l4.factory import FactoryServant
from servers.l4.frame_table import FrameTable
from servers.l4.kernel_memory import MIN_BITS, Block, KernelMemory, Places
from servers.l4.mapper import ROOT, SpaceServant
from servers.l4.sigma0 import Sigma0Servant
from tests.l4.fake_kernel import SLOT, FakeKernel, run
from tests.l4.test_mapper import mapper_with

PAGE = 0x1000
RAM, DEVICE = Fpage(0x10_0000, 16), Fpage(0x4000)


@given(st.lists(st.tuples(st.integers(-1, 17), st.integers(12, 15), st.booleans())))
def test_sigma0_hands_no_page_out_twice_and_none_that_it_has_not_got(wishes: list[tuple[int, int, bool]]) -> None:
    table, got = FrameTable([MemoryDescriptor(RAM, False), MemoryDescriptor(DEVICE, True)]), list[int]()
    for place, bits, is_any in wishes:
        fpage = Fpage((RAM.address + place * PAGE) >> bits << bits, bits)
        try:
            if is_any:
                fpage = table.take_any(bits)
            else:
                table.take(fpage)
        except AlreadyExists:
            assert set(pages(fpage)) & set(got)
            continue
        except NotFound:
            assert not set(pages(fpage)) <= set(pages(RAM))
            continue
        except NoSpace:
            assert is_any
            continue
        got += pages(fpage)
        assert is_any or fpage.address >= RAM.address
    assert len(set(got)) == len(got)
    assert set(got) <= set(pages(RAM))
    info = table.info
    assert (info.ram, info.ram_left, info.device_left) == (RAM.size, RAM.size - len(got) * PAGE, PAGE)


def test_what_could_not_be_mapped_entirely_is_free_again_and_mapped_nowhere() -> None:
    mapper = mapper_with(FakeKernel(), 4)
    root = SpaceServant(mapper, ROOT)
    sigma0 = Sigma0Servant(root, FrameTable(run(root.memory())))
    # There are slots left for two pages.
    mapper.places.end = 7
    with pytest.raises(QuotaExceeded):
        run(sigma0.any(SpaceServant(mapper, 2), 14, 0))
    assert not mapper.tree.pages(2)
    assert run(sigma0.info()).ram_left == 4 * PAGE


def test_a_device_is_handed_out_once_and_only_by_its_address() -> None:
    table = FrameTable([MemoryDescriptor(DEVICE, True)])
    with pytest.raises(NoSpace):
        table.take_any(12)
    table.take(DEVICE)
    with pytest.raises(AlreadyExists):
        table.take(DEVICE)


def pages(fpage: Fpage) -> list[int]:
    return list(range(fpage.address, fpage.end, PAGE))


BITS = 13


def memory_with(kernel: FakeKernel) -> KernelMemory:
    """2**BITS bytes, at address 0."""
    sys: Any = kernel
    kernel.untypeds[0] = [0, BITS, 0]
    return KernelMemory(Places(sys, 1, 0, 12), 0, BITS)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(4, BITS))))
def test_blocks_do_not_overlap_and_come_back_as_one_piece(steps: list[tuple[bool, int]]) -> None:
    kernel = FakeKernel()
    memory, taken = memory_with(kernel), list[Block]()
    for gives, number in steps:
        if gives and taken:
            run(memory.give_back(taken.pop(number % len(taken))))
            continue
        try:
            taken.append(run(memory.take(number)))
        except QuotaExceeded:
            # No power of two as large is free in one piece, for if nothing is used there is one.
            assert taken or number == BITS
    places = sorted(kernel.untypeds[block.cap & SLOT][:2] for block in taken)
    assert all(low + (1 << bits) <= high for (low, bits), (high, _) in pairwise(places))
    assert memory.used == sum(1 << block.bits for block in taken) <= 1 << BITS
    for block in taken:
        run(memory.give_back(block))
    assert memory.used == 0
    assert len(kernel.made_of) == 0
    assert run(memory.take(BITS - 1)).bits == BITS - 1


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(("make", "nest", "destroy")), st.integers(0, 6), st.sampled_from(Kind)), max_size=25
    )
)
def test_a_factory_takes_nothing_from_another(steps: list[tuple[str, int, Kind]]) -> None:
    """Whatever is done with one factory, the other can always make what its quota is for."""
    kernel = FakeKernel()
    memory = memory_with(kernel)
    places = memory.places
    wild, calm = (FactoryServant(KernelMemory(places, run(memory.take(BITS - 1)).cap, BITS - 1)) for _ in range(2))
    wild.service = NoService()
    for what, number, kind in steps:
        try:
            if what == "make":
                run(wild.create(number, kind, int(kind is Kind.CAPS)))
            elif what == "nest":
                run(wild.create_factory(number, MIN_BITS + 2))
            else:
                run(wild.destroy(number))
        except Failure:
            continue
    used = run(wild.info()).used
    assert used == sum(1 << made.block.bits for made in (*wild.objects.values(), *wild.factories.values()))
    for number in range(1 << BITS - 1 - MIN_BITS):
        run(calm.create(number, Kind.GATE, 0))
    with pytest.raises(QuotaExceeded):
        run(calm.create(-1, Kind.GATE, 0))
    for number in [*wild.objects, *wild.factories]:
        run(wild.destroy(number))
    assert run(wild.info()).used == 0


class NoService:
    """Nobody has a cap to anything."""

    def revoke(self, servant: object) -> None:
        """Nothing is to be closed."""


def test_asking_again_gives_the_same_object_and_asking_for_another_is_refused() -> None:
    factory = FactoryServant(memory_with(FakeKernel()))
    first = run(factory.create(7, Kind.THREAD, 0))
    assert run(factory.create(7, Kind.THREAD, 0)) == first
    with pytest.raises(AlreadyExists):
        run(factory.create(7, Kind.GATE, 0))
    with pytest.raises(Malformed):
        run(factory.create(8, Kind.CAPS, 9))
    assert run(factory.info()).used == 1 << obj.object_size_bits(obj.TCB, 0)
