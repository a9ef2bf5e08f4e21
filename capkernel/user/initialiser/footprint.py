"""How much memory one life of a domain takes: known from the plan, before anything is made.

It is counted in the order in which ``domains`` makes things, because each is aligned to its own size.
"""

from collections.abc import Iterator

from capkernel.abi import iospace as io
from capkernel.abi import objects as obj
from capkernel.system.description import IoAddressSpace, ProtectionDomain
from capkernel.system.grants import GrantKind
from capkernel.user.arenas import Thing, room_for
from capkernel.user.initialiser.plan import PAGE, Plan, Program
from capkernel.user.loop import IPC_BUFFER, PD_CNODE_BITS, ROOT_CNODE_BITS
from capkernel.user.threads import SCHED_CONTEXT_BITS

OWN = 0
"""The number of a domain's own CNode among its CNodes; the others have the number of the slot of their grant."""


def arena_bits(plan: Plan, spec: ProtectionDomain) -> int:
    """log2 of the bytes of the arena in which a domain is built, whichever of its programs it gets."""
    most = max(room_for(things_of(plan, spec, program)) for program in plan.programs_of(spec.name))
    return (most - 1).bit_length()


def cnode_sizes(plan: Plan, pd: str) -> dict[int, int]:
    """log2 of the slots of each CNode of a life of a domain but the root CNode, by its number; large ones first."""
    sizes = {OWN: PD_CNODE_BITS}
    slots = [found for found in plan.grants if found.pd == pd and found.kind is GrantKind.SLOTS and not found.lasts]
    sizes |= {grant.slot: grant.size_bits for grant in slots}
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def things_of(plan: Plan, spec: ProtectionDomain, program: Program) -> Iterator[Thing]:
    """All that is made for one life of a domain, in order, except that pages and tables change places."""
    yield from ((obj.CNODE, bits) for bits in cnode_sizes(plan, spec.name).values())
    yield obj.CNODE, ROOT_CNODE_BITS
    yield obj.TCB, 0
    yield obj.SCHED_CONTEXT, SCHED_CONTEXT_BITS
    top = plan.system.platform.stack_top
    made = [range(IPC_BUFFER, IPC_BUFFER + PAGE), range(top - spec.stack_size, top), *program.pages]
    yield from ((obj.PAGE, 0) for pages in made for _ in range(_count(pages, obj.PAGE_BITS)))
    yield from ((obj.PAGE_TABLE, 0) for _ in range(1 + _page_tables(plan, spec, made)))
    for space in plan.system.io_address_spaces:
        if plan.owners.get(space.name) == spec.name:
            yield from ((io.OBJECT_IO_PAGE_TABLE, 0) for _ in range(_io_page_tables(plan, space)))


def _page_tables(plan: Plan, spec: ProtectionDomain, pages: list[range]) -> int:
    """The page tables below the root: one for each GiB, and one for each 2 MiB, in which something is mapped."""
    gigas: set[int] = set()
    megas: set[int] = set()
    for place in pages:
        megas.update(_numbers(place, obj.MEGA_PAGE_BITS))
        gigas.update(_numbers(place, obj.GIGA_PAGE_BITS))
    for mapping in spec.maps:
        region = plan.system.region(mapping.region)
        place = range(mapping.vaddr, mapping.vaddr + region.size)
        gigas.update(_numbers(place, obj.GIGA_PAGE_BITS))
        if region.page_size == PAGE:
            megas.update(_numbers(place, obj.MEGA_PAGE_BITS))
    return len(gigas) + len(megas)


def _io_page_tables(plan: Plan, space: IoAddressSpace) -> int:
    """The same for a device, with the root."""
    sizes = [(mapping.iovaddr, plan.system.region(mapping.region).size) for mapping in space.maps]
    places = [range(start, start + size) for start, size in sizes if size]
    megas = {number for place in places for number in _numbers(place, obj.MEGA_PAGE_BITS)}
    gigas = {number for place in places for number in _numbers(place, obj.GIGA_PAGE_BITS)}
    return 1 + len(gigas) + len(megas) if places else 0


def _numbers(place: range, bits: int) -> range:
    """The numbers of the aligned pieces of 2**``bits`` bytes that a place touches."""
    return range(place.start >> bits, (place.stop - 1 >> bits) + 1) if place.stop > place.start else range(0)


def _count(place: range, bits: int) -> int:
    return len(_numbers(place, bits))
