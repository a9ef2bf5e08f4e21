"""What is tried: the shipped systems, each with a client that works and checks for ever, and what may fail in it.

A client keeps a region ``report`` of four words: its rounds; what was acknowledged and is not there, or not right;
failures that it saw; requests made again because a server was started anew. After each round it tells the host.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from capkernel.system.elf import ElfError, read_program
from capkernel.tools.campaign.harms import TOLERATED, UNPROMISED, Harm
from capkernel.tools.demo.stage import DISK_BYTES
from capkernel.tools.inject import Kind
from hwmodel.block import RamDisk
from hwmodel.board import DeviceWindow
from hwmodel.cpu.riscv import emulator
from hwmodel.faults import FaultKind
from hwmodel.virtio import virtio_blk, virtio_net, virtio_rng
from hwmodel.wiring import DeviceFactory, Wiring

PEERS: Final = "capkernel.peers"
"""The entry point group: what may be at the other end of a network cable."""
COMPILED: Final = Path("examples/c/pd/build/drivers")
"""Where programs of machine code are that were compiled."""
TICKS_PER_MS: Final = 10_000
MIRRORED_BYTES: Final = DISK_BYTES // 2
"""Of each of a mirror's disks: all of it is compared after each trial in which one was left."""
AnyKind = Kind | FaultKind

_DRIVER: Final = Kind.CRASH, Kind.HANG, Kind.WRONG_ANSWER, Kind.LOST_REPLY, Kind.DOUBLE_REPLY
_SERVER: Final = Kind.CRASH, Kind.HANG, Kind.DOUBLE_REPLY
_SPOILT: Final = Kind.MUTATION, Kind.MEMORY, Kind.STRAY_STORE, Kind.VARIABLE
"""A program that is spoilt and goes on: it may do to its device whatever the device allows."""
_VIRTIO: Final = (
    FaultKind.RESET, FaultKind.STALL, FaultKind.ROGUE_DMA, FaultKind.INTERRUPT_STORM, FaultKind.LOST_INTERRUPT,
    FaultKind.WRONG_ID, FaultKind.WRONG_LENGTH, FaultKind.DOUBLE_COMPLETION,
)  # fmt: skip
_FRAMES: Final = (
    FaultKind.LOST_FRAME, FaultKind.DOUBLE_FRAME, FaultKind.LATE_FRAME, FaultKind.CORRUPT_DATA,
)  # fmt: skip


@frozen
class Target:
    """A domain, or a device (in the machine's window ``device``), and what may go wrong in it.

    ``steps`` is how far ahead a fault may be: about what the target does in a few rounds of the client. A target that
    does nothing while nothing fails is ``roused_by`` another, which crashes at the same time. In a domain of several
    parts mistakes are made in the code of one ``part``.
    """

    name: str
    steps: int
    kinds: tuple[AnyKind, ...] = ()
    spoilt: tuple[AnyKind, ...] = ()
    device: str = ""
    roused_by: str = ""
    part: str = ""


Kinds = tuple[tuple[Target, AnyKind], ...]


@frozen
class Subject:
    """A system: its targets, the client's program, and the devices that it needs besides a disk.

    ``system`` is the description's name, if it is not the subject's. Domains in ``machine_code`` run programs that were
    compiled, which may not be there (``missing``). The ``client`` is the program of a ``domain``, or empty if that is
    linked of several, as the description says. If the client is promised nothing (``promises``), all that happens to it
    is counted, and none of it is a failure.

    If something comes from outside, the machine looks for it every ``poll_us`` microseconds. The faults of a trial may
    happen in the client's next ``reach`` rounds. If programs are spoilt that go on, those of ``one_of`` are so in
    batches of their own, one after the other; with each such fault one of those crashes that ``remember`` what was
    written, so that it is read again; ``cost`` is what may come of it all. ``spare`` are a region and
    the number of a word in it that is 0 while all that is there twice is whole: so it is to be before each trial. The
    first disk has ``disk_bytes``.
    """

    name: str
    client: str
    targets: tuple[Target, ...]
    devices: Callable[[], Mapping[str, DeviceFactory]] = dict
    poll_us: int = 0
    reach: int = 3
    one_of: tuple[str, ...] = ()
    remember: tuple[str, ...] = ()
    cost: frozenset[Harm] = TOLERATED
    spare: tuple[str, int] | None = None
    system: str = ""
    domain: str = "client"
    promises: bool = True
    machine_code: Mapping[str, str] = field(factory=dict)
    disk_bytes: int = DISK_BYTES
    by_target: dict[str, Target] = field(init=False)

    @by_target.default
    def _by_target(self) -> dict[str, Target]:
        return {target.name: target for target in self.targets}

    def programs(self, compiled: Path) -> dict[str, str]:
        """What runs in place of the description's programs, by domain; those of machine code are in ``compiled``."""
        native = {pd: str((compiled / name).resolve()) for pd, name in self.machine_code.items()}
        return ({self.domain: self.client} if self.client else {}) | native

    def missing(self, compiled: Path) -> str:
        """What is not here that it needs, and how to get it; empty if it can be played."""
        for file in (compiled / name for name in self.machine_code.values()):
            if not file.is_file():
                return f"{file} is not there; make -C examples/c/pd builds it, which needs a RISC-V compiler"
            try:
                read_program(file.read_bytes())
                emulator.layout()
            except (ElfError, OSError, emulator.EmulatorError) as error:
                return f"{file} cannot be run: {error}"
        return ""

    def kinds(self, *, spoilt: bool, number: int = 0) -> Kinds:
        """What must do no harm at all; or, of programs that are spoilt and go on, what may cost data.

        ``number`` is the batch's.
        """
        if not spoilt:
            return tuple((each, kind) for each in self.targets for kind in each.kinds)
        spared = set(self.one_of) - {self.one_of[number % len(self.one_of)]} if self.one_of else set()
        return tuple((each, kind) for each in self.targets if each.name not in spared for kind in each.spoilt)

    def may(self, *, spoilt: bool) -> frozenset[Harm]:
        """What may happen: of all else it is promised that it does not."""
        if not self.promises:
            return UNPROMISED
        return self.cost if spoilt else frozenset()

    def turn(self, number: int, *, spoilt: bool) -> int:
        """How many batches before this one tried the same targets."""
        return number // len(self.one_of) if spoilt and self.one_of else number


def _second_disk() -> Mapping[str, DeviceFactory]:
    return {"virtio1": virtio_blk(RamDisk(MIRRORED_BYTES))}


def _echo_host() -> Mapping[str, DeviceFactory]:
    """A card at whose other end there is a host that sends back what it gets, in the machine's time."""
    point = next(iter(entry_points(group=PEERS, name="echo_host")))
    peer = point.load()()

    def build(window: DeviceWindow, wiring: Wiring) -> Any:
        peer.clock = lambda: wiring.events.clock.now // TICKS_PER_MS
        return virtio_net(peer)(window, wiring)

    return {"virtio1": build}


STORAGE: Final = Subject("storage", "churner.elf", (
    Target("disk", 40, _DRIVER, _SPOILT),
    Target("files", 60, _SERVER),
    Target("supervisor", 40, (Kind.CRASH, Kind.HANG), roused_by="disk"),
    Target("disk device", 60, (*_VIRTIO, FaultKind.IO_ERROR), device="virtio0"),
))  # fmt: skip

MIRROR: Final = Subject("mirror", "churner.elf", (
    *(Target(name, 40, _DRIVER, _SPOILT) for name in ("disk", "disk2")),
    Target("mirror", 60, _SERVER),
    Target("files", 60, _SERVER),
    Target("supervisor", 40, (Kind.CRASH, Kind.HANG), roused_by="disk"),
    Target("disk device", 60, (*_VIRTIO, FaultKind.IO_ERROR), device="virtio0"),
    Target("disk2 device", 60, (*_VIRTIO, FaultKind.IO_ERROR), device="virtio1"),
), _second_disk, one_of=("disk", "disk2"), remember=("files", "mirror"), cost=frozenset(), spare=("mirror_state", 5),
    disk_bytes=MIRRORED_BYTES,
)  # fmt: skip

NETWORK: Final = Subject("network", "net_churner.elf", (
    Target("card", 30, (Kind.CRASH, Kind.HANG, Kind.DOUBLE_REPLY, Kind.LOST_REPLY), _SPOILT),
    Target("network", 30, _SERVER),
    Target("supervisor", 40, (Kind.CRASH, Kind.HANG), roused_by="card"),
    Target("card device", 60, (*_VIRTIO, *_FRAMES), device="virtio1"),
), _echo_host, poll_us=100, cost=frozenset((Harm.ERROR,)))  # fmt: skip
"""TCP's checksums find what a spoilt driver makes of frames; it may lose them all, so a client may see an error."""

CONSOLE: Final = Subject("console", "console_churner.elf", (
    *(Target(name, steps, _SERVER, _SPOILT) for name, steps in (
        ("console", 9), ("timer", 3), ("rtc", 3), ("entropy", 9),
    )),
    Target("disk", 24, _DRIVER, _SPOILT),
    *(Target(name, steps, _SERVER) for name, steps in (("files", 14), ("log", 12), ("audit", 6), ("names", 30))),
    Target("disk device", 32, (*_VIRTIO, FaultKind.IO_ERROR), device="virtio0"),
    Target("entropy device", 12, _VIRTIO, device="virtio1"),
), lambda: {"virtio1": virtio_rng(seed=1)})  # fmt: skip

PROCESSES: Final = Subject("processes", "process_churner.elf", (
    Target("disk", 60, _DRIVER, _SPOILT),
    Target("files", 60, _SERVER),
    Target("memory", 30, (*_SERVER, Kind.NO_MEMORY)),
    Target("processes", 60, _SERVER),
    Target("pager", 30, _SERVER),
    Target("supervisor", 40, (Kind.CRASH, Kind.HANG), roused_by="memory"),
    Target("disk device", 60, (*_VIRTIO, FaultKind.IO_ERROR), device="virtio0"),
), reach=5)  # fmt: skip

MONOLITH: Final = Subject("monolith", "", (
    Target("monolith", 40, (Kind.CRASH, Kind.HANG), _SPOILT, part="disk"),
    Target("supervisor", 40, (Kind.CRASH, Kind.HANG), roused_by="monolith"),
    Target("disk device", 60, (*_VIRTIO, FaultKind.IO_ERROR), device="virtio0"),
), domain="monolith", promises=False)  # fmt: skip
"""As ``storage``, with driver, file system and client in one domain, which answers nobody by message."""

MONOLITH_NETWORK: Final = Subject("monolith-network", "", (
    Target("monolith", 30, (Kind.CRASH, Kind.HANG), _SPOILT, part="card"),
    Target("supervisor", 40, (Kind.CRASH, Kind.HANG), roused_by="monolith"),
    Target("card device", 60, (*_VIRTIO, *_FRAMES), device="virtio1"),
), _echo_host, poll_us=100, system="monolith_network", domain="monolith", promises=False)  # fmt: skip
"""As ``network``, with driver, network server and client in one domain."""

_DISK_IN_C: Final = "virtio_blk.elf"
STORAGE_C: Final = evolve(STORAGE, name="storage-c", system=STORAGE.name, machine_code={"disk": _DISK_IN_C})
MIRROR_C: Final = evolve(
    MIRROR, name="mirror-c", system=MIRROR.name, machine_code=dict.fromkeys(MIRROR.one_of, _DISK_IN_C)
)

SUBJECTS: Final = {subject.name: subject for subject in (
    STORAGE, STORAGE_C, MIRROR, MIRROR_C, NETWORK, CONSOLE, PROCESSES, MONOLITH,
    MONOLITH_NETWORK,
)}  # fmt: skip
