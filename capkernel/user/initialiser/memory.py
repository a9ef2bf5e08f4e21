"""Memory regions: their frames, what is in them, and where they are mapped."""

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER
from capkernel.system.description import BootInfoPrefill, FilePrefill, Map, MemoryRegion, Perms
from capkernel.user import stubs
from capkernel.user.allocators import OutOfMemory
from capkernel.user.initialiser.plan import Plan
from capkernel.user.initialiser.toolbox import Toolbox
from capkernel.user.vspaces import VSpace

FRAME_TYPE = {1 << obj.PAGE_BITS: obj.PAGE, 1 << obj.MEGA_PAGE_BITS: obj.MEGA_PAGE}


class Regions:
    """The frames of every memory region, by name; made in order of how little choice there is."""

    def __init__(self, tools: Toolbox, plan: Plan) -> None:
        self.tools = tools
        self.plan = plan
        self.frames: dict[str, list[int]] = {}

    async def create(self) -> None:
        """Make all frames: those at fixed addresses first, then the large ones."""
        regions = sorted(self.plan.system.memory_regions, key=lambda r: (r.phys_addr is None, -r.page_size))
        for region in regions:
            try:
                self.frames[region.name] = await self._frames_of(region)
            except OutOfMemory as error:
                raise OutOfMemory(f"{region.where}: memory region {region.name} cannot be made: {error}") from None
            await self._prefill(region)

    async def _frames_of(self, region: MemoryRegion) -> list[int]:
        memory, kind = self.tools.env.memory, FRAME_TYPE[region.page_size]
        if region.phys_addr is None:
            return await memory.alloc_many(kind, region.page_count)
        addresses = range(region.phys_addr, region.phys_addr + region.size, region.page_size)
        return [await memory.alloc_at(address, kind) for address in addresses]

    async def _prefill(self, region: MemoryRegion) -> None:
        match region.prefill:
            case FilePrefill(data=data):
                content = data
            case BootInfoPrefill():
                content = self.plan.fdt
            case _:
                content = self.plan.contents.get(region.name, b"")
        for index, frame in enumerate(self.frames[region.name]):
            part = content[index * region.page_size : (index + 1) * region.page_size]
            if part:
                await self.tools.fill(frame, region.page_size, part)

    async def physical_address(self, region: str) -> int:
        """Where a region's first frame lies."""
        return await stubs.page_get_address(self.tools.env.sys, self.frames[region][0])

    def is_device(self, region: str) -> bool:
        """Whether a region lies where a device may be: at a fixed address."""
        return self.plan.system.region(region).phys_addr is not None

    async def map(self, mapping: Map, vspace: VSpace, copies: list[int]) -> None:
        """Map a region into a domain, each page by a cap of its own with just the rights of the mapping.

        These caps are listed in ``copies``.
        """
        region = self.plan.system.region(mapping.region)
        rights = rights_of(mapping.perms)
        attr = 0 if Perms.EXECUTE in mapping.perms else EXECUTE_NEVER
        for index, frame in enumerate(self.frames[region.name]):
            copies.append(await self.tools.copy(frame, rights))
            await vspace.map(copies[-1], mapping.vaddr + index * region.page_size, rights, attr)


def rights_of(perms: Perms) -> int:
    """The rights of a frame cap for these permissions; writing needs reading as well."""
    if Perms.WRITE in perms:
        return rt.READ_WRITE
    return rt.READ if Perms.READ in perms else 0
