"""The console system on a machine of its own, with the serial line and the kernel's console kept apart."""

import re
import struct
from pathlib import Path
from typing import Any

from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.trace import Trace
from capkernel.system.board import find_board as find_rules
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools.inject import Fault, Injector
from hwmodel.backend import BufferBackend
from hwmodel.block import RamDisk
from hwmodel.board import find_board
from hwmodel.virtio import virtio_blk, virtio_rng
from servers.clients.resident import ALL_STEPS
from servers.storage.disk import Disk
from servers.storage.littlefs_volume import LittlefsVolume
from tests.servers.fakedisk import REGION, FakeDisk

SYSTEMS = Path(__file__).parents[2] / "servers" / "systems"
FILES = {"virt_iommu": SYSTEMS / "console.system", "virt_sifive": SYSTEMS / "virt_sifive" / "console.system"}
ERASED = re.compile(r"[^\n]*\x1b\[K")
LONGEST_US, SLICE_US = 3_000_000, 5_000


class ConsoleStage:
    """The system, ready to run. ``words`` are those of the client's report.

    ``programs`` are directories of programs that take the place of installed ones.
    """

    def __init__(
        self,
        *faults: Fault,
        board: str = "virt_iommu",
        disk: RamDisk | None = None,
        devices: Any = None,
        programs: tuple[Path, ...] = (),
    ) -> None:
        self.disk = disk or RamDisk(1 << 20)
        self.line, self.debug = BufferBackend(), BufferBackend()
        path = FILES[board]
        places = [*programs, path.parent, SYSTEMS]
        description = load(path, search_path=places, board=find_rules(board))
        self.system = DescribedSystem(
            description, find_board(board), places, extensions=load_extensions(path, description), uart=self.line,
            console=self.debug,
            devices={"virtio0": virtio_blk(self.disk), "virtio1": virtio_rng(seed=5), **(devices or {})},
        )  # fmt: skip
        self.trace = Trace(self.system.loop)
        self.injector = Injector(self.system, list(faults))

    def run(self, us: int) -> None:
        """Run for a while."""
        self.system.run(time_us=us)

    def run_until(self, is_over: Any) -> bool:
        """Run until something is so, at the longest for three seconds of virtual time."""
        while not self.system.ready:
            self.system.loop.run(max_entries=1)
        for _ in range(0, LONGEST_US, SLICE_US):
            if is_over():
                return True
            self.run(SLICE_US)
        return bool(is_over())

    def run_client(self) -> bool:
        """Run until the client has done all its steps."""
        return self.run_until(lambda: self.words[0] == ALL_STEPS)

    def type(self, text: str) -> None:
        """Type something, and let it be dealt with."""
        self.line.feed(text.encode())
        for _ in range(20):
            self.system.machine.poll_input()
            self.run(SLICE_US)

    @property
    def words(self) -> tuple[int, ...]:
        return struct.unpack_from("<6Q", self.system.read_region("report"))

    @property
    def lines(self) -> list[str]:
        """What stands on the terminal: what was erased is not there any more."""
        return ERASED.sub("", self.line.text).splitlines()

    def file(self, path: str) -> bytes:
        """What a file on the disk contains, read by somebody else."""
        disk = FakeDisk(self.disk.sectors)
        disk.durable[:] = self.disk.read(0, self.disk.sectors)
        volume = LittlefsVolume(Disk(disk, REGION))
        disk.run(volume.open(may_format=False))
        return disk.run(volume.read(path, 0, 1 << 20))

    def close(self) -> None:
        """Give up the programs."""
        self.system.cpu.close()
