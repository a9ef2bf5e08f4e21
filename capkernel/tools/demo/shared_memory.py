"""Servers that share memory with an attacker, who has an accomplice that changes it while they read it.

Each server is interrupted in the middle of what it does to that memory, so the accomplice really gets in; what it read
twice is counted from outside.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, frozen

from capkernel.protocols.attacks import Row, Trick, read_account
from capkernel.tools.demo.cable import card, peer
from capkernel.tools.demo.network import why_not
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.interruption import Account, Event, interrupt
from hwmodel.block import RamDisk
from hwmodel.virtio import virtio_blk

SYSTEM: Final = "shared_memory"
SERVERS: Final = (
    "disk", "ramdisk", "mirror", "files", "fat", "network", "supervisor", "ports", "pulses", "process_manager",
)  # fmt: skip
"""Those that share memory with a client."""
READING: Final = tuple(server for server in SERVERS if server != "disk")
"""Those that read that memory themselves; a disk does that in its driver's place."""
CARELESS: Final[Mapping[str, str]] = {
    "files": "careless_twice_littlefs.elf", "fat": "careless_twice_fat.elf", "mirror": "careless_twice_mirror.elf",
    "ports": "careless_twice_ports.elf", "pulses": "careless_twice_pulses.elf",
    "process_manager": "careless_twice_process_manager.elf",
}  # fmt: skip
"""Programs that read it twice."""
QUIET: Final = "attacker_quiet.elf"
WITHOUT_STACK: Final = {"network": "absent.elf", "mallory_network": QUIET}
DISK_BYTES: Final = 1 << 18
LONGEST_US: Final = 4_000_000
SLICE_US: Final = 500


@frozen
class Outcome:
    """Of one server: what its attacker tried, and what was seen of the server from outside."""

    server: str
    is_done: bool
    row: Row
    told: tuple[str, ...]
    account: Account
    stopped: int = 0
    """Programs that came to grief, whosever they are."""
    is_careless: bool = False

    @property
    def torn(self) -> int:
        """Requests during whose reading the memory changed."""
        return self.account.requests[Event.TORN]

    @property
    def again(self) -> int:
        """Requests in which something was read twice."""
        return self.account.requests[Event.AGAIN]

    @property
    def changed(self) -> int:
        """Requests in which it was another thing then."""
        return self.account.requests[Event.CHANGED]


@define
class SharedSiege:
    """The system with its attackers, while it runs. ``servers`` are those that are attacked."""

    stage: Stage
    servers: tuple[str, ...]
    accounts: dict[str, Account]
    careless: frozenset[str] = frozenset()

    def outcome(self, server: str) -> Outcome:
        """How it stands with a server."""
        found = read_account(self.stage.system.read_region(f"report_{server}"))
        account = self.accounts.get(server, Account())
        is_careless = server in self.careless
        stopped = len(self.stage.system.faults) + len(self.stage.system.crashes)
        return Outcome(server, found.is_done, found.rows[Trick.MEMORY], found.told, account, stopped, is_careless)

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all."""
        return [self.outcome(server) for server in self.servers]

    def run(self) -> bool:
        """Run until all attackers have come to their end; false if they do not."""
        self.stage.booted.boot()
        for _ in range(LONGEST_US // SLICE_US):
            if all(each.is_done for each in self.outcomes):
                return True
            if self.stage.system.run(time_us=SLICE_US) != "time":
                break
            self.stage.system.machine.poll_input()
        return False


def besieged(
    *, seed: int = 0, only: tuple[str, ...] = SERVERS, programs: Mapping[str, str] | None = None,
    is_interrupted: bool = True,
) -> SharedSiege:  # fmt: skip
    """The system, ready to run: with the attackers of some servers, which are interrupted or not."""
    servers = tuple(server for server in only if server != "network" or not why_not())
    chosen = {f"mallory_{server}": QUIET for server in SERVERS if server not in servers} | dict(programs or {})
    devices = {"virtio1": virtio_blk(RamDisk(DISK_BYTES))}
    if why_not():
        chosen |= WITHOUT_STACK
    else:
        devices["virtio2"] = card(peer("echo_host"))
    stage = Stage(SYSTEM, seed=seed, devices=devices, programs=chosen)
    reading = [server for server in servers if server in READING and is_interrupted]
    accounts = {server: interrupt(stage.system, server, [f"shared_{server}"], seed) for server in reading}
    return SharedSiege(stage, servers, accounts, frozenset(programs or {}))


def played(server: str, *, seed: int = 0, is_careless: bool = False) -> Outcome:
    """What comes of an attack on one server, or on the careless one in its place."""
    siege = besieged(seed=seed, only=(server,), programs={server: CARELESS[server]} if is_careless else None)
    siege.run()
    found = siege.outcome(server)
    siege.stage.close()
    return found


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Each server in a line."""
    heads = ("tries", 6), ("refused", 8), ("ways in", 8), ("  read: changed meanwhile", 26), ("twice", 7), ("other", 8)
    lines = [" ".join([" " * 26, *(f"{head:>{width}}" for head, width in heads)])]
    for each in outcomes:
        end = f"{'·':>26} {'·':>7} {'·':>8}"
        if each.server in READING:
            end = f"{f'{each.torn:,} of {each.account.requests[Event.READ]:,}':>26} {each.again:7,} {each.changed:8,}"
        name = f"{each.server} (careless)" if each.is_careless else each.server
        lines.append(f"{name:26} {each.row.tries:6,} {each.row.refused:8,} {each.row.ways_in:8,} {end}")
    return lines


def attacked(story: Story) -> None:
    """All of them; then the careless ones."""
    servers = [server for server in SERVERS if server != "network" or not why_not()]
    story.tell("memory that changes under a server's feet: each server is interrupted while it reads:")
    found = [played(server, seed=story.seed) for server in servers]
    careless = [played(server, seed=story.seed, is_careless=True) for server in CARELESS]
    for line in table([*found, *careless]):
        story.tell(line)
    reading = [each for each in found if each.server in READING]
    story.claim("every attack was played to its end", all(each.is_done for each in (*found, *careless)))
    story.claim("memory really changed while each server read it", all(each.torn for each in reading),
                f"{sum(each.torn for each in reading):,} requests")  # fmt: skip
    story.claim("nobody got in", not any(each.row.ways_in for each in found),
                "; ".join(line for each in found for line in each.told[:2]))  # fmt: skip
    story.claim("nobody stopped of it", not any(each.stopped for each in found))
    story.claim("no server read anything twice in one request", not any(each.again for each in reading))
    for each in careless:
        what = f"{each.server}: gets in where a server reads it twice"
        story.claim(what, each.row.ways_in > 0, f"changed between two reads in {each.changed:,} of {each.again:,}")
