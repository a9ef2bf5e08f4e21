"""The root task's surroundings: what the kernel gave to the first thread, decoded from memory.

The initial CSpace takes 64 bits of address with all but the low ones zero, so a slot's number is its cap's address.
"""

from typing import Protocol

from attrs import frozen

from capkernel.abi import bootinfo as bi
from capkernel.abi import objects as obj
from capkernel.abi.bootinfo import BootInfo
from capkernel.user.allocators import SlotAllocator, UntypedAllocator
from capkernel.user.operations import read
from capkernel.user.syscalls import Syscalls


class Start(Protocol):
    """What a program is told when it starts; see ``hwmodel.cpu.program``."""

    @property
    def entry(self) -> int:
        """The address of its image."""
        ...

    @property
    def arguments(self) -> tuple[int, ...]:
        """a0 to a7."""
        ...

    @property
    def tp(self) -> int:
        """The thread pointer; threads started by ``capkernel.user.threads`` find their IPC buffer there."""
        ...

    @property
    def values(self) -> tuple[int, ...]:
        """The words of its image that a loader may set."""
        ...


@frozen
class Environment:
    """A root task's world: its boot information, system calls, and allocators over what it was given."""

    start: Start
    info: BootInfo
    sys: Syscalls
    slots: SlotAllocator
    memory: UntypedAllocator
    cnode: int = bi.CAP_INIT_CNODE
    vspace: int = bi.CAP_INIT_VSPACE
    tcb: int = bi.CAP_INIT_TCB
    asid_pool: int = bi.CAP_INIT_ASID_POOL
    irq_control: int = bi.CAP_IRQ_CONTROL

    @property
    def sched_control(self) -> int:
        """The cap that sets budgets."""
        return self.info.sched_control[0]


async def root_environment(start: Start) -> Environment:
    """What a root task finds; to be called first, and once."""
    info = await read_bootinfo(start.arguments[0])
    sys = Syscalls(info.ipc_buffer)
    slots = SlotAllocator(bi.CAP_INIT_CNODE, *info.empty)
    first = info.untyped[0]
    untypeds = [(first + n, desc) for n, desc in enumerate(info.untyped_list)]
    return Environment(start, info, sys, slots, UntypedAllocator(sys, slots, untypeds))


async def read_bootinfo(vaddr: int) -> BootInfo:
    """The boot information in the frame at an address (a0 of the initial thread)."""
    return BootInfo.decode(await read(vaddr, bi.BOOTINFO_SIZE))


async def read_extra_bootinfo(vaddr: int, info: BootInfo) -> dict[int, bytes]:
    """The chunks behind the boot information at ``vaddr``, by their identifiers (``abi.bootinfo``)."""
    data = await read(vaddr + obj.PAGE_BYTES, info.extra_len) if info.extra_len else b""
    chunks, offset = {}, 0
    while offset + bi.CHUNK_HEADER_BYTES <= len(data):
        kind = int.from_bytes(data[offset : offset + 8], "little")
        size = int.from_bytes(data[offset + 8 : offset + bi.CHUNK_HEADER_BYTES], "little")
        if size < bi.CHUNK_HEADER_BYTES:
            raise ValueError(
                f"extra boot information at {offset:#x}: a chunk of {size} bytes has no room for its header"
            )
        chunks[kind] = data[offset + bi.CHUNK_HEADER_BYTES : offset + size]
        offset += size
    return chunks


def describe(info: BootInfo) -> str:
    """The boot information as a few lines for people."""
    ram = sum(1 << u.size_bits for u in info.untyped_list if not u.is_device)
    devices = sum(u.is_device for u in info.untyped_list)
    lines = [
        f"root CNode of 2**{info.cnode_size_bits} slots, {info.empty[1] - info.empty[0]} empty from {info.empty[0]} on",
        f"{len(info.untyped_list)} untypeds: {ram >> 20} MiB of RAM, {devices} for devices",
        f"image in {info.user_image_frames[1] - info.user_image_frames[0]} frames, IPC buffer at {info.ipc_buffer:#x}",
    ]
    return "\n".join(lines)
