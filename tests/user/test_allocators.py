"""Allocators: memory is split, joined and reused; fixed addresses are found; what is taken is not given twice."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.abi import objects as obj
from capkernel.abi.bootinfo import UntypedDesc
from capkernel.user import operations as ops
from capkernel.user import stubs
from capkernel.user.allocators import OutOfMemory, OutOfSlots, SlotAllocator, UntypedAllocator
from capkernel.user.bootstrap import Environment
from capkernel.user.errors import KernelError
from capkernel.user.vspaces import VSpace

RAM = 0x9000_0000


def test_freed_memory_joins_again_and_serves_again(root: Any) -> None:
    async def body(env: Environment) -> None:
        memory = env.memory
        before = memory.free_bytes()
        for _ in range(3):
            caps = [await memory.alloc(kind) for kind in (obj.TCB, obj.ENDPOINT, obj.PAGE, obj.NOTIFICATION)]
            caps += await memory.alloc_many(obj.CNODE, 3, 4)
            assert memory.free_bytes() < before
            for cap in caps:
                await memory.free(cap)
            assert memory.free_bytes() == before

    root(body)


def test_a_freed_object_is_gone_for_everybody(root: Any) -> None:
    async def body(env: Environment) -> None:
        vspace = VSpace(env.memory, env.vspace)
        frame = (await vspace.map_new(RAM, 0x1000))[0]
        await ops.store(RAM, 1)
        await env.memory.free(frame)
        again = (await vspace.map_new(RAM, 0x1000))[0]
        assert await ops.load(RAM) == 0
        with pytest.raises(ValueError, match="was not made by this allocator"):
            await env.memory.free(again + 1000)

    root(body)


def test_objects_at_a_fixed_address_lie_there(root: Any) -> None:
    async def body(env: Environment) -> None:
        for paddr in (0x1000_0000, 0x8800_3000):
            frame = await env.memory.alloc_at(paddr, obj.PAGE)
            assert await stubs.page_get_address(env.sys, frame) == paddr
            with pytest.raises(OutOfMemory, match="in use"):
                await env.memory.alloc_at(paddr, obj.PAGE)
            await env.memory.free(frame)
            await env.memory.alloc_at(paddr, obj.PAGE)
        with pytest.raises(ValueError, match="not aligned"):
            await env.memory.alloc_at(0x8800_0800, obj.PAGE)
        with pytest.raises(OutOfMemory):
            await env.memory.alloc_at(0xC00_0000, obj.PAGE)

    root(body)


def test_missing_page_tables_are_made_as_the_kernel_names_them(root: Any) -> None:
    async def body(env: Environment) -> None:
        vspace = await VSpace.create(env.memory, env.asid_pool)
        await vspace.map_new(0x7000_0000, 0x1000)
        assert len(vspace.tables) == 2
        await vspace.map_new(0x7000_1000, 0x1000)
        assert len(vspace.tables) == 2
        mega = await env.memory.alloc(obj.MEGA_PAGE)
        await vspace.map(mega, 0x7020_0000)
        assert len(vspace.tables) == 2

    root(body)


def test_whatever_fails_leaves_memory_and_slots_as_they_were(root: Any) -> None:
    async def body(env: Environment) -> None:
        whole = await env.memory.alloc(obj.UNTYPED, 14)
        paddr = env.memory.place_of(whole)
        slots = SlotAllocator(env.cnode, env.slots.alloc(), env.slots.alloc() + 1)
        slots.end = slots.first + 40
        for _ in range(40):
            env.slots.alloc()
        small = UntypedAllocator(env.sys, slots, [(whole, UntypedDesc(paddr, 14, False))])
        vspace = VSpace(small, env.vspace)

        async def unchanged(error: type[Exception], action: Any) -> None:
            free = slots.end - slots._next + len(slots._free)
            with pytest.raises(error):
                await action
            assert small.free_bytes() == 1 << 14
            assert slots.end - slots._next + len(slots._free) == free
            await small.free(await small.alloc(obj.UNTYPED, 14))

        await unchanged(KernelError, small.alloc(obj.CNODE, 0))
        await unchanged(KernelError, small.alloc_at(paddr + 0x1000, obj.CNODE, 0))
        await unchanged(KernelError, vspace.map_copy(slots.first + 39, RAM))
        await unchanged(KernelError, vspace.map_new(1 << 38, 0x1000))
        slots.end = slots._next
        while len(slots._free) > 3:
            slots.alloc()
        with pytest.raises(OutOfSlots):
            await small.alloc(obj.PAGE)
        assert (small.free_bytes(), len(slots._free)) == (1 << 14, 3)

    root(body)


def test_pages_that_cannot_all_be_had_are_given_back(root: Any) -> None:
    async def body(env: Environment) -> None:
        whole = await env.memory.alloc(obj.UNTYPED, 15)
        desc = UntypedDesc(env.memory.place_of(whole), 15, False)
        small = UntypedAllocator(env.sys, env.slots, [(whole, desc)])
        vspace = VSpace(small, env.vspace)
        await vspace.map_new(RAM, 0x1000)
        before = small.free_bytes()
        with pytest.raises(OutOfMemory):
            await vspace.map_new(RAM + 0x1000, 0x8000)
        assert small.free_bytes() == before
        await vspace.map_new(RAM + 0x1000, before)

    root(body)


def test_slots_run_out_and_come_back() -> None:
    slots = SlotAllocator(2, 10, 12)
    assert [slots.alloc(), slots.alloc()] == [10, 11]
    with pytest.raises(OutOfSlots):
        slots.alloc()
    slots.free(10)
    assert slots.alloc() == 10
    with pytest.raises(ValueError, match="not given out"):
        slots.free(12)
    with pytest.raises(ValueError, match="not given out"):
        slots.free(9)
    slots.free(11)
    with pytest.raises(ValueError, match="free already"):
        slots.free(11)


STEPS = st.lists(st.tuples(st.sampled_from((4, 5, 6, 8, 12, 14)), st.booleans()), min_size=1, max_size=30)


@given(STEPS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_in_use_never_overlap(root: Any, steps: list[tuple[int, bool]]) -> None:
    async def body(env: Environment) -> None:
        memory = env.memory
        before, held = memory.free_bytes(), []
        for bits, give_back in steps:
            held.append(await memory.alloc(obj.UNTYPED, bits))
            places = sorted((memory.place_of(cap), memory.place_of(cap) + memory.size_of(cap)) for cap in held)
            assert all(end <= start for (_, end), (start, _) in pairwise(places))
            if give_back:
                await memory.free(held.pop(0))
        for cap in held:
            await memory.free(cap)
        assert memory.free_bytes() == before

    root(body)
