"""Where stories play: shipped systems, found by name, on machines with disks and other devices."""

import hashlib
import struct
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import attrs

from capkernel.kernel.caps import PageTableCap
from capkernel.system.board import find_board
from capkernel.tools.inject import Fault, Injector
from capkernel.tools.tour_systems import Booted, Run
from hwmodel.block import RamDisk
from hwmodel.sv39 import walk
from hwmodel.virtio import virtio_blk
from hwmodel.virtio.transport import VirtioMmio
from hwmodel.wiring import DeviceFactory

R = TypeVar("R", bound=attrs.AttrsInstance)
SYSTEMS = "capkernel.systems"
"""The entry point group: the name of a system → the package in which its description is."""
BOARD = "virt_iommu"
BOARDS = {"virt_sifive": "virt_sifive", "no_iommu": "qemu_virt_riscv64"}
"""The machine for a variant, if that is not the usual one."""
DISK_BYTES = 1 << 20
LONGEST_SLICE_US = 5_000


class UnknownSystemError(KeyError):
    """No system of that name is installed."""

    def __str__(self) -> str:
        """Return the message as it is; a KeyError would show it in quotation marks."""
        return str(self.args[0])


def find_system(name: str) -> Path:
    """The description of a shipped system. Raises UnknownSystemError, naming those that there are."""
    found = {point.name: point.value for point in entry_points(group=SYSTEMS)}
    if name not in found:
        raise UnknownSystemError(f"no system is named {name!r}; there are {', '.join(sorted(found)) or 'none'}")
    return Path(str(files(found[name]))) / f"{name}.system"


def description(file: Path) -> Path:
    """The description that is meant: the file, or the shipped system if this is the name of one and no file.

    Raises UnknownSystemError.
    """
    if file.is_file() or file.suffix:
        return file
    try:
        return find_system(str(file))
    except UnknownSystemError as error:
        raise UnknownSystemError(f"there is no file {file}, and {error}") from None


def _places(path: Path, variant: str) -> list[Path]:
    """Where else than beside the description what it names may be: in the variant, in the directory above."""
    if not variant:
        return []
    return [path.parent, path.parent.parent] if path.parent.name == variant else [path.parent / variant]


class Stage:
    """A shipped system with a disk in the first virtio slot, ready to run, with faults to come.

    ``variant`` is a directory beside the description; what is there takes the place of what has the same name.
    """

    def __init__(
        self, name: str, *, disk: RamDisk | None = None, faults: tuple[Fault, ...] = (), seed: int = 0,
        variant: str = "", board: str = BOARD, devices: Mapping[str, DeviceFactory] | None = None,
        programs: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.disk = disk or RamDisk(DISK_BYTES)
        path = find_system(name)
        if (path.parent / variant / path.name).exists():
            path = path.parent / variant / path.name
            board = BOARDS.get(variant, board)
        self.booted = Booted(
            path, search_path=_places(path, variant), seed=seed, board=find_board(board),
            devices={"virtio0": virtio_blk(self.disk), **(devices or {})}, programs=programs,
        )  # fmt: skip
        self.system = self.booted.system
        self.injector = Injector(self.system, list(faults))

    @property
    def disk_device(self) -> VirtioMmio:
        """The disk as the machine has it: its counters, its faults."""
        device = self.system.machine.devices["virtio0"]
        if not isinstance(device, VirtioMmio):
            raise TypeError("there is no virtio device in the first slot")
        return device

    def run(self, *, time_us: int) -> Run:
        """Run for so many microseconds."""
        return self.booted.run(time_us=time_us)

    def run_until(
        self, is_over: Callable[[], bool], longest_us: int, slice_us: int = 5_000, *, growth: float = 1
    ) -> bool:
        """Run until something is so, looked at after each slice of virtual time; false if it never was.

        Slices grow by a factor each time, to at most 5 ms: for something that is soon so, or only after long.
        """
        self.booted.boot()
        size, left = float(slice_us), longest_us
        while left > 0:
            if is_over():
                return True
            if self.system.run(time_us=int(size)) != "time":
                break
            left -= int(size)
            size = max(size, min(size * growth, LONGEST_SLICE_US))
        return is_over()

    def words(self, region: str, count: int) -> tuple[int, ...]:
        """The first words of a memory region."""
        return struct.unpack_from(f"<{count}Q", self.system.read_region(region))

    def report(self, kind: type[R], region: str) -> R:
        """What a program reports in a memory region: a word for each field of an attrs class."""
        return kind(*self.words(region, len(attrs.fields(kind))))

    def have_reported(self, *regions: str) -> bool:
        """Whether the first word of each report says that it is whole."""
        return all(self.words(region, 1)[0] for region in regions)

    def write_words(self, region: str, *words: int) -> None:
        """Put words at the start of a memory region, as a domain that maps it might. Raises KeyError if none does."""
        for pd in self.system.system.protection_domains:
            for mapping in pd.maps:
                thread = self.system.threads.get(pd.name)
                if mapping.region != region or thread is None:
                    continue
                vspace = thread.vspace_slot.cap
                if not isinstance(vspace, PageTableCap):
                    continue
                page = walk(self.system.machine.memory, vspace.paddr, mapping.vaddr)
                if page is not None:
                    self.system.machine.write_bytes(page.paddr, struct.pack(f"<{len(words)}Q", *words))
                    return
        raise KeyError(f"no domain maps a region {region!r}")

    def disk_digest(self) -> bytes:
        """A hash of all that is on the disk."""
        return hashlib.sha256(self.disk.read(0, self.disk.sectors)).digest()

    def close(self) -> None:
        """Give up the programs."""
        self.system.cpu.close()


Watcher = Callable[[Stage], None]
"""Called with a stage when it is ready to run."""


def nobody(stage: Stage) -> None:
    """Watch nothing."""
