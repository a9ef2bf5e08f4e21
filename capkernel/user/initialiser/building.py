"""Building what the plan describes: all of it at boot, one domain of it again and again."""

from collections.abc import Iterator

from attrs import define

from capkernel.system.authority import Node, pd_node, region_node
from capkernel.system.description import IoAddressSpace
from capkernel.user.initialiser import domains as dom
from capkernel.user.initialiser import wiring
from capkernel.user.initialiser.domains import Domain
from capkernel.user.initialiser.memory import Regions
from capkernel.user.initialiser.placements import MORTAL, Placement, placements
from capkernel.user.initialiser.plan import Plan
from capkernel.user.initialiser.toolbox import Toolbox
from capkernel.user.initialiser.wiring import Caps


@define
class Building:
    """What the initial task has built, and needs to build a domain of it anew. ``io_spaces`` are caps, by name."""

    tools: Toolbox
    plan: Plan
    regions: Regions
    domains: dict[str, Domain]
    caps: Caps
    table: tuple[Placement, ...]
    io_spaces: dict[str, int]

    def memory(self) -> Iterator[tuple[Node, int]]:
        """Which domain or region has what memory, each with a cap to a piece of it; one may have several.

        All that a domain ever has lies in its pieces, or in what it gets from another.
        """
        for name, domain in self.domains.items():
            yield from ((pd_node(name), cap) for cap in domain.lasting_caps())
        for name, frames in self.regions.frames.items():
            region = region_node(self.plan.system, self.plan.system.region(name))
            yield from ((region, frame) for frame in frames)


async def build(tools: Toolbox, plan: Plan, monitor: int, ready: int) -> Building:
    """Make everything that the plan describes; no domain runs yet. Raises KernelError, OutOfMemory, OutOfSlots.

    ``monitor`` is the endpoint at which the initial task will wait, ``ready`` the notification that it hears there.
    """
    regions = Regions(tools, plan)
    await regions.create()
    domains = {
        spec.name: await dom.create_domain(tools, plan, index, spec)
        for index, spec in enumerate(plan.system.protection_domains)
    }
    io_spaces = {space.name: await wiring.io_space(tools, space) for space in plan.system.io_address_spaces}
    caps = Caps(domains, regions, monitor, ready, tools.env.sched_control)
    built = Building(tools, plan, regions, domains, caps, placements(plan), io_spaces)
    for domain in domains.values():
        domain.fault_ep = await wiring.fault_endpoint(tools, plan, domains, domain, monitor)
        await dom.create_life(tools, plan, domain)
    await wiring.place(tools, caps, built.table)
    for domain in domains.values():
        await _furnish(built, domain)
    for space in plan.system.io_address_spaces:
        if space.name not in plan.owners:
            await wiring.map_for_device(tools, regions, space, io_spaces[space.name], tools.env.memory, [])
    return built


async def build_anew(built: Building, domain: Domain) -> None:
    """Give a destroyed domain a new life, and everything that the plan gives it; others get their caps to it again.

    Raises KernelError, OutOfMemory or OutOfSlots; what was made by then is in the domain's life.
    """
    tools, name = built.tools, domain.name
    await dom.create_life(tools, built.plan, domain)
    await wiring.place(tools, built.caps, (found for found in built.table if found.holder == name))
    held = [found for found in built.table if found.source.thing in MORTAL and found.source.of == name]
    others = [found for found in held if found.holder != name]
    await wiring.clear(tools, built.caps, others)
    await wiring.place(tools, built.caps, others)
    await _furnish(built, domain)


async def _furnish(built: Building, domain: Domain) -> None:
    """Fill the address spaces of a domain, its own and those of its devices, and get its thread ready to start."""
    tools, plan, life = built.tools, built.plan, domain.living()
    await dom.build_address_space(tools, plan, built.regions, domain)
    for space in owned_by(plan, domain.name):
        cap = built.io_spaces[space.name]
        await wiring.map_for_device(tools, built.regions, space, cap, domain.arena, life.io_copies)
    await dom.configure_domain(tools, plan, domain)


def owned_by(plan: Plan, pd: str) -> list[IoAddressSpace]:
    """The I/O address spaces that a domain's devices have as long as it lives."""
    return [space for space in plan.system.io_address_spaces if plan.owners.get(space.name) == pd]
