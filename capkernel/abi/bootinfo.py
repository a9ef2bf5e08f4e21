"""The BootInfo frame: what the initial thread is told (manual, section 9.1; 3,864 bytes in this configuration)."""

import struct
from dataclasses import dataclass, field
from typing import Final

BOOTINFO_SIZE: Final = 3864
MAX_UNTYPEDS: Final = 230
FDT_CHUNK: Final = 6
CHUNK_HEADER_BYTES: Final = 16

CAP_NULL_SLOT: Final = 0
CAP_INIT_TCB: Final = 1
CAP_INIT_CNODE: Final = 2
CAP_INIT_VSPACE: Final = 3
CAP_IRQ_CONTROL: Final = 4
CAP_ASID_CONTROL: Final = 5
CAP_INIT_ASID_POOL: Final = 6
CAP_IO_SPACE: Final = 8
CAP_BOOTINFO_FRAME: Final = 9
CAP_INIT_IPC_BUFFER: Final = 10
CAP_DOMAIN: Final = 11
CAP_INIT_SCHED_CONTEXT: Final = 14
NUM_INITIAL_CAPS: Final = 16

SlotRegion = tuple[int, int]
"""First slot and the slot after the last."""

_HEADER: Final = struct.Struct("<23Q")
_UNTYPED: Final = struct.Struct("<QBB6x")


@dataclass(frozen=True)
class UntypedDesc:
    """One entry of the untyped list: physical address in bytes, log2 size, device memory or not."""

    paddr: int
    size_bits: int
    is_device: bool


@dataclass
class BootInfo:
    """The fields of ``seL4_BootInfo``; regions are slots of the initial CSpace."""

    extra_len: int = 0
    ipc_buffer: int = 0
    empty: SlotRegion = (0, 0)
    shared_frames: SlotRegion = (0, 0)
    user_image_frames: SlotRegion = (0, 0)
    user_image_paging: SlotRegion = (0, 0)
    io_space_caps: SlotRegion = (0, 0)
    extra_bootinfo_pages: SlotRegion = (0, 0)
    cnode_size_bits: int = 0
    domain: int = 0
    sched_control: SlotRegion = (0, 0)
    untyped: SlotRegion = (0, 0)
    untyped_list: list[UntypedDesc] = field(default_factory=list)
    num_io_pt_levels: int = 0

    def encode(self) -> bytes:
        """The bytes of the frame, little endian, padded with zeros to 3,864."""
        header = _HEADER.pack(
            self.extra_len, 0, 1, self.num_io_pt_levels, self.ipc_buffer, *self.empty, *self.shared_frames,
            *self.user_image_frames, *self.user_image_paging, *self.io_space_caps, *self.extra_bootinfo_pages,
            self.cnode_size_bits, self.domain, *self.sched_control, *self.untyped,
        )  # fmt: skip
        body = b"".join(_UNTYPED.pack(u.paddr, u.size_bits, u.is_device) for u in self.untyped_list)
        return (header + body).ljust(BOOTINFO_SIZE, b"\0")

    @classmethod
    def decode(cls, data: bytes) -> "BootInfo":
        """Read the frame back, as a root task does."""
        w = _HEADER.unpack_from(data)
        info = cls(
            extra_len=w[0], num_io_pt_levels=w[3], ipc_buffer=w[4], empty=(w[5], w[6]), shared_frames=(w[7], w[8]),
            user_image_frames=(w[9], w[10]), user_image_paging=(w[11], w[12]), io_space_caps=(w[13], w[14]),
            extra_bootinfo_pages=(w[15], w[16]), cnode_size_bits=w[17], domain=w[18],
            sched_control=(w[19], w[20]), untyped=(w[21], w[22]),
        )  # fmt: skip
        for index in range(info.untyped[1] - info.untyped[0]):
            paddr, bits, device = _UNTYPED.unpack_from(data, _HEADER.size + _UNTYPED.size * index)
            info.untyped_list.append(UntypedDesc(paddr, bits, bool(device)))
        return info
