"""Arenas: one untyped, given back as a whole; and every domain fits into the one that is made for it."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.abi import objects as obj
from capkernel.system.builder import SystemBuilder
from capkernel.system.elf import ElfSegment
from capkernel.user import operations as ops
from capkernel.user import stubs
from capkernel.user.allocators import OutOfMemory, OutOfSlots
from capkernel.user.arenas import Arena, room_for
from capkernel.user.bootstrap import Environment
from capkernel.user.errors import KernelError
from capkernel.user.initialiser.building import build
from capkernel.user.initialiser.footprint import arena_bits, things_of
from capkernel.user.initialiser.plan import PAGE, Image, Plan
from capkernel.user.initialiser.toolbox import Toolbox
from capkernel.user.pdimage import PDValues
from capkernel.user.vspaces import VSpace

MEGA = 1 << 21
THINGS = [(obj.TCB, 0), (obj.CNODE, 6), (obj.SCHED_CONTEXT, 8), (obj.PAGE, 0), (obj.PAGE_TABLE, 0), (obj.ENDPOINT, 0)]


def test_a_destroyed_arena_serves_again_with_the_same_slots_and_memory(root: Any) -> None:
    async def body(env: Environment) -> None:
        arena = await Arena.create(env.memory, 16)
        left, lives = env.memory.free_bytes(), []
        for _ in range(3):
            caps = [await arena.alloc(*thing) for thing in THINGS]
            lives.append((caps, await stubs.page_get_address(env.sys, caps[3]), arena.used))
            await arena.destroy()
            assert arena.used == 0
        assert lives[0] == lives[1] == lives[2]
        assert env.memory.free_bytes() == left

    root(body)


def test_what_was_in_a_destroyed_arena_is_gone_for_everybody(root: Any) -> None:
    async def body(env: Environment) -> None:
        arena = await Arena.create(env.memory, 16)
        frame, node = await arena.alloc(obj.PAGE), await arena.alloc(obj.CNODE, 4)
        tools = Toolbox(env)
        copy = await tools.copy(frame)
        await tools.own_vspace.map(copy, 0x9000_0000)
        await ops.store(0x9000_0000, 77)
        endpoint = await env.memory.alloc(obj.ENDPOINT)
        await tools.copy_into(node, 3, 4, endpoint)
        await arena.destroy()
        # The copy's slot is empty, and the endpoint still there.
        await tools.copy_into(env.cnode, copy, 64, endpoint)
        again = await arena.alloc(obj.PAGE)
        await tools.own_vspace.map(again, 0x9000_0000)
        assert await ops.load(0x9000_0000) == 0

    root(body)


def test_an_address_space_takes_its_tables_from_the_arena_that_it_is_in(root: Any) -> None:
    async def body(env: Environment) -> None:
        arena = await Arena.create(env.memory, 16)
        left = env.memory.free_bytes()
        for _ in range(3):
            vspace = await VSpace.create(arena, env.asid_pool)
            await vspace.map_new(0x7000_0000, 2 * PAGE)
            assert arena.used == 5 * PAGE
            await arena.destroy()
        assert env.memory.free_bytes() == left

    root(body)


def test_a_full_arena_and_a_missing_slot_leave_everything_as_it_was(root: Any) -> None:
    async def body(env: Environment) -> None:
        arena = await Arena.create(env.memory, 13)
        pages = await arena.alloc_many(obj.PAGE, 2)
        slot = env.slots.alloc()
        env.slots.free(slot)
        with pytest.raises(OutOfMemory, match="8192 of them used, is full"):
            await arena.alloc(obj.PAGE)
        with pytest.raises(KernelError):
            await arena.alloc(obj.CNODE, 0)
        assert env.slots.alloc() == slot
        end, env.slots.end = env.slots.end, env.slots.first
        await arena.free(pages[0])
        held = env.slots.alloc()
        with pytest.raises(OutOfSlots):
            await arena.alloc(obj.ENDPOINT)
        env.slots.free(held)
        env.slots.end = end
        with pytest.raises(ValueError, match="was not made in this arena"):
            await arena.free(pages[0])
        await arena.destroy()
        assert len(await arena.alloc_many(obj.PAGE, 2)) == 2

    root(body)


@given(st.lists(st.sampled_from(THINGS), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_room_for_things_is_what_they_take(root: Any, things: list[tuple[int, int]]) -> None:
    async def body(env: Environment) -> None:
        room = room_for(things)
        arena = await Arena.create(env.memory, (room - 1).bit_length())
        for thing in things:
            await arena.alloc(*thing)
        assert arena.used == room

    root(body)


@frozen
class Blank:
    """A program of zeros, in these pages."""

    pages: tuple[range, ...]

    def image(self, values: PDValues, settings: Mapping[str, int]) -> Image:
        segments = (ElfSegment(place.start, b"\1", place.stop - place.start) for place in self.pages)
        return Image(self.pages[0].start, tuple(segments))

    def name_of(self, address: int) -> str:
        return ""


PLACES = st.integers(0, 1023).map(lambda n: n * 0x40_0000)
SHAPES = st.fixed_dictionaries(
    {
        "stack": st.integers(1, 20),
        "program": st.lists(st.tuples(st.integers(0, 511), st.integers(1, 12)), min_size=1, max_size=3),
        "maps": st.lists(st.tuples(PLACES, st.integers(1, 5), st.booleans()), max_size=4),
    }
)


def described(shape: Mapping[str, Any]) -> Plan:
    """A domain of this shape. Programs lie below the regions, a GiB apart from each other."""
    system = SystemBuilder()
    pd = system.protection_domain("pd", program="pd.elf", stack_size=shape["stack"] * PAGE)
    for index, (place, count, large) in enumerate(shape["maps"]):
        page = MEGA if large else PAGE
        region = system.memory_region(f"r{index}", size=count * page, page_size=page)
        pd.map(region, vaddr=(8 + 5 * index << 30) + place)
    pages = tuple(
        range(start, start + count * PAGE, PAGE)
        for start, count in (((1 + n << 30) + page * PAGE, count) for n, (page, count) in enumerate(shape["program"]))
    )
    return Plan(system=system.build(), programs={"pd": Blank(pages)})


@given(SHAPES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_domain_takes_the_room_that_was_computed_for_it(root: Any, shape: Mapping[str, Any]) -> None:
    plan = described(shape)
    spec = plan.system.pd("pd")

    async def body(env: Environment) -> None:
        endpoint, ready = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.NOTIFICATION)
        domain = (await build(Toolbox(env), plan, endpoint, ready)).domains["pd"]
        assert domain.arena.used == room_for(things_of(plan, spec, plan.programs["pd"]))
        assert domain.arena.size_bits == arena_bits(plan, spec)
        assert domain.arena.used <= 1 << domain.arena.size_bits < 2 * domain.arena.used

    root(body)
