"""An attacker for every server, beside an honest client of all; and each kind of trick with its layer switched off.

What attackers and client say of themselves is in memory. What is seen from outside: whether somebody stopped, what the
browsers outside of the machine got.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from capkernel.kernel.caps import PageTableCap
from capkernel.protocols.attacks import (
    CROWDED,
    SERVERS,
    TURNED_AWAY,
    Account,
    Row,
    Seen,
    Trick,
    read_account,
    read_seen,
)
from capkernel.tools.demo import shared_memory
from capkernel.tools.demo.cable import card, peer
from capkernel.tools.demo.network import why_not
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.demo.story import Story
from hwmodel.failing import failing
from hwmodel.faults import Fault, FaultKind, FaultPlan
from hwmodel.sv39 import walk
from hwmodel.virtio import virtio_rng

TITLE = "an attacker for every server: none gets in, and an honest client of all servers notices nothing"
SYSTEM: Final = "attackers"
SHOWN: Final = "shown"
"""In the place of a server: names that an honest client showed an attacker, to be read."""
ATTACKED: Final = (*SERVERS, "guardian", SHOWN)
"""Servers with an attacker in the machine. That of the web server is outside."""
WEB: Final = "web"
PREFIX: Final = "mallory_"
QUIET: Final = "attacker_quiet.elf"
WITHOUT_STACK: Final = {"network": "absent.elf", "web": "absent.elf", "mallory_network": QUIET}
LONGEST_US: Final = 4_000_000
SLICE_US: Final = 500
OPEN_US: Final = 20_000
"""When the browsers begin: the web server listens by then."""
ROUNDS: Final = 12
"""The honest client's, at least: with some the attackers are over."""
BOUND_US: Final = 100_000
"""The longest that the honest client may wait for anything, a process started and ended included."""
BOUND_WEB_MS: Final = 1_000
"""The same for a browser, while another one has all places: a request that does not go on is given up by then."""
REPORT: Final = 0x510_0000
ROGUE_STEPS: Final = range(200, 260)
SLOW_STEPS: Final = range(1_000, 400_000, 1_500)
"""Accesses to the serial port's registers before which it keeps an interrupt to itself: texts have to wait then."""


@frozen
class Web:
    """What became of the web server's attacker, and of the honest browser."""

    account: Account
    fetched: int
    failed: int
    longest_ms: int


@define
class Siege:
    """The system with its attackers, while it runs."""

    stage: Stage
    host: Any
    quiet: frozenset[str]
    ran_us: int = 0

    def account(self, server: str) -> Account:
        """What an attacker says."""
        return read_account(self.stage.system.read_region(f"report_{server}"))

    @property
    def seen(self) -> Seen:
        """What the honest client says."""
        return read_seen(self.stage.system.read_region("seen"))

    @property
    def turned_away(self) -> tuple[list[str], list[str]]:
        """Of an attacker's texts: those that the console refused him, and which of them are on the terminal."""
        lines = self.stage.booted.output.text.splitlines()
        told, texts = TURNED_AWAY.partition("{")[0], CROWDED.partition("{")[0]
        refused = [line.removeprefix(told) for line in lines if line.startswith(told)]
        return refused, [each for each in refused if texts + each in lines]

    @property
    def web(self) -> Web:
        """What the browsers say."""
        if self.host is None:
            return Web(Account(True, dict.fromkeys(Trick, Row()), ()), 0, 0, 0)
        mallory, honest = self.host.mallory, self.host.honest
        account = Account(mallory.is_done, dict(mallory.rows), tuple(mallory.told))
        return Web(account, honest.fetched, honest.failed + honest.wrong, self.host.longest_ms)

    def run_until(self, is_over: Callable[["Siege"], bool], longest_us: int = LONGEST_US) -> bool:
        """Run until something is so; false if it was not."""
        while self.ran_us < longest_us:
            if self.ran_us % (10 * SLICE_US) == 0 and is_over(self):
                return True
            if self.stage.system.run(time_us=SLICE_US) != "time":
                break
            self.ran_us += SLICE_US
            self.stage.system.machine.poll_input()
            if self.host is not None and self.ran_us == OPEN_US and not self.quiet:
                self.host.is_open = True
        return is_over(self)

    def is_over(self) -> bool:
        """Whether all attackers have come to their end, and the honest client has seen some of what follows."""
        accounts = [self.account(server) for server in ATTACKED]
        return all(each.is_done for each in accounts) and self.web.account.is_done and self.seen.rounds >= ROUNDS


def besieged(
    *, seed: int = 0, only: frozenset[str] | None = None, programs: Mapping[str, str] | None = None, variant: str = "",
) -> Siege:  # fmt: skip
    """The system, ready to run: with all attackers, or only those of some servers."""
    quiet = frozenset() if only is None else frozenset(ATTACKED) - only
    chosen = {PREFIX + server: QUIET for server in quiet} | dict(programs or {})
    slow = FaultPlan(tuple(Fault(step, FaultKind.LOST_INTERRUPT) for step in SLOW_STEPS), seed)
    host, devices = None, {"virtio2": virtio_rng(seed=seed + 1), "uart0": failing(slow)}
    if why_not():
        chosen |= WITHOUT_STACK
    else:
        host = peer("browsers")
        devices["virtio1"] = card(host)
    stage = Stage(SYSTEM, seed=seed, devices=devices, programs=chosen, variant=variant)
    stage.booted.boot()
    return Siege(stage, host, quiet)


# With a layer switched off


@frozen(kw_only=True)
class Weakness:
    """A layer that is left out: other programs for some domains, or one change of the description; and how one sees
    that somebody got in.
    """

    trick: Trick
    title: str
    server: str
    got_in: Callable[[Siege], bool]
    programs: Mapping[str, str] = field(factory=dict)
    change: tuple[str, str] | None = None


def _ways_in(trick: Trick, server: str) -> Callable[[Siege], bool]:
    return lambda siege: siege.account(server).rows[trick].ways_in > 0


def _not_served(server: str) -> Callable[[Siege], bool]:
    return lambda siege: siege.seen.servers[server].failed > 0


def _weakness(trick: Trick, title: str, server: str, **rest: Any) -> Weakness:
    got_in = rest.pop("got_in", _ways_in(trick, server))
    return Weakness(trick=trick, title=title, server=server, got_in=got_in, **rest)


ACCOMPLICE: Final = '<program_image path="accomplice.elf" />\n        '
CARELESS_FILES: Final = {"scratch": "careless_files.elf"}
CARELESS_MOUNTS: Final = {"mounts": "careless_mounts.elf"}
WEAKNESSES: Final = (
    _weakness(Trick.INPUT, "a file server that reads wherever it is told to", "scratch", programs=CARELESS_FILES),
    _weakness(Trick.PATHS, "a file server that walks along paths", "scratch", programs=CARELESS_FILES),
    _weakness(
        Trick.RIGHTS, "a cap with the badge of one who may write", "scratch",
        change=('pd="mallory_scratch" kind="endpoint" of="scratch" slot="310" rights="WGP" badge="0x8000000000000006"',
                'pd="mallory_scratch" kind="endpoint" of="scratch" slot="310" rights="WGP" badge="0x8000000000000003"'),
    ),
    _weakness(Trick.QUOTAS, "a file server that does not count what is open", "scratch", programs=CARELESS_FILES),
    _weakness(
        Trick.FORGERY, "a cap without a badge", "log",
        change=(' of="log" slot="310" rights="WGP" badge="0x8000000000000003"', ' of="log" slot="310" rights="WGP"'),
    ),
    _weakness(Trick.REPLIES, "a mount server that asks whoever is behind a cap", "mounts", programs=CARELESS_MOUNTS),
    _weakness(Trick.CAPS, "a mount server that keeps caps", "mounts", programs=CARELESS_MOUNTS),
    _weakness(
        Trick.SLOW, "a timer in which one client may take all places to wait", "timer",
        programs={"timer": "careless_timer.elf"}, got_in=_not_served("timer"),
    ),
    _weakness(
        Trick.SLOW, "a console in which one client may take all places to wait", "console",
        programs={"console": "careless_console.elf"}, got_in=_not_served("console"),
    ),
    _weakness(
        Trick.SLOW, "a console that looks too late whether its client may wait", "console",
        programs={"console": "careless_console_late.elf"}, got_in=lambda siege: bool(siege.turned_away[1]),
    ),
    _weakness(
        Trick.RIGHTS, "a name server that does not keep readers from writing", SHOWN,
        programs={"names": "careless_names.elf"},
    ),
    _weakness(
        Trick.MEMORY, "memory of the honest client mapped where the attacker's should be", "files",
        change=(ACCOMPLICE + '<map mr="mallory_files"', ACCOMPLICE + '<map mr="mirror_transfer"'),
        got_in=_not_served("mirror"),
    ),
)  # fmt: skip


def weakened(weakness: Weakness, seed: int = 0) -> bool:
    """Whether the attacker of that server gets in when the layer is switched off."""
    with tempfile.TemporaryDirectory() as folder:
        if weakness.change is not None:
            _rewrite(Path(folder), *weakness.change)
        siege = besieged(
            seed=seed, only=frozenset({weakness.server}), programs=weakness.programs,
            variant=folder if weakness.change else "",
        )  # fmt: skip
    got_in = siege.run_until(weakness.got_in)
    siege.stage.close()
    return got_in


def _rewrite(folder: Path, old: str, new: str) -> None:
    """The description with one change. Raises ValueError if what is to be changed is not there once."""
    path = find_system(SYSTEM)
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{old!r} is {text.count(old)} times in {path}")
    (folder / path.name).write_text(text.replace(old, new), encoding="utf-8")
    for other in path.parent.glob(f"{SYSTEM}*.toml"):
        (folder / other.name).write_text(other.read_text(encoding="utf-8"), encoding="utf-8")


def overwritten_by_dma(variant: str, seed: int = 0) -> tuple[bool, int, int]:
    """A disk that writes where it likes, into a client's memory: whether that changed, accesses that were refused, and
    those that got through.
    """
    stage = Stage("storage", seed=seed, variant=variant)
    stage.booted.boot()
    vspace = stage.system.threads["client"].vspace_slot.cap
    page = walk(stage.system.machine.memory, vspace.paddr, REPORT) if isinstance(vspace, PageTableCap) else None
    if page is None:
        raise ValueError("the client has no report")
    target = page.paddr + 0x800
    before = stage.system.machine.read_bytes(target, 8)
    faults = tuple(Fault(step, FaultKind.ROGUE_DMA, target) for step in ROGUE_STEPS)
    stage.disk_device.faults.set_plan(FaultPlan(faults, 1))
    stage.run_until(lambda: bool(stage.words("report", 1)[0]), 1_000_000)
    after = stage.system.machine.read_bytes(target, 8)
    injected = stage.disk_device.faults
    stage.close()
    return before != after, injected.rogue_refused, injected.rogue_through


# The story


def story(story: Story, *, everywhere: bool = False) -> None:
    """All attackers at a time; then each kind of trick with its layer switched off."""
    siege = besieged(seed=story.seed)
    story.tell(f"{len(ATTACKED)} attackers in the machine, each a client of one server; a browser outside")
    ended = siege.run_until(Siege.is_over)
    seen, web = siege.seen, siege.web
    accounts = {server: siege.account(server) for server in ATTACKED} | {WEB: web.account}
    for line in table(accounts, seen, web):
        story.tell(line)
    _claims(story, siege, ended, accounts, seen, web)
    siege.stage.close()
    story.tell("each kind of trick, with the layer switched off that keeps it out:")
    for weakness in WEAKNESSES:
        story.claim(f"{weakness.trick.value}: gets in with {weakness.title}", weakened(weakness, story.seed))
    changed, refused, through = overwritten_by_dma("", story.seed)
    is_stopped = not (changed or through) and refused > 0
    story.claim("DMA into a client's memory is stopped by the IOMMU", is_stopped, f"{refused} times")
    story.claim("DMA: gets in without an IOMMU", overwritten_by_dma("no_iommu", story.seed)[0])
    shared_memory.attacked(story)


def _claims(
    story: Story, siege: Siege, ended: bool, accounts: Mapping[str, Account], seen: Seen, web: Web
) -> None:
    tries = sum(each.total.tries for each in accounts.values())
    told = [f"{server}: {line}" for server, each in accounts.items() for line in each.told]
    story.claim("every attacker came to its end", ended, [s for s, each in accounts.items() if not each.is_done] or "")
    ways_in = sum(each.total.ways_in for each in accounts.values())
    story.claim("no attacker got in", not ways_in, "; ".join(told[:4]) or f"{tries:,} tries")
    failed = sum(each.failed for each in seen.servers.values()) + web.failed
    served = sum(each.served for each in seen.servers.values()) + web.fetched
    story.claim("the honest client and browser got every answer as it should be", not failed,
                "; ".join(seen.told[:4]) or f"{served:,} answers")  # fmt: skip
    longest = max(each.longest_us for each in seen.servers.values())
    story.claim(f"the honest client never waited for more than {BOUND_US // 1000} ms", longest <= BOUND_US,
                f"{longest / 1000:.1f} ms")  # fmt: skip
    story.claim(f"nor the honest browser for more than {BOUND_WEB_MS} ms", web.longest_ms <= BOUND_WEB_MS,
                f"{web.longest_ms} ms")  # fmt: skip
    output = siege.stage.booted.output.text
    crashes = [crash.report.strip().splitlines()[-1] for crash in siege.stage.system.crashes]
    story.claim("no server stopped", not siege.stage.system.faults and not crashes, (crashes or [""])[0])
    story.claim("what the honest client wrote on the terminal stands there as it was written",
                all(f"neighbour {number}" in output.splitlines() for number in range(seen.rounds)))  # fmt: skip
    refused, shown = siege.turned_away
    story.claim("what the console refused an attacker is not on the terminal", bool(refused) and not shown,
                f"{len(refused)} texts")  # fmt: skip
    story.trace_hash = siege.stage.booted.trace.hash()
    story.figures["tries"] = tries
    story.figures["answers to the honest"] = served


def table(accounts: Mapping[str, Account], seen: Seen, web: Web) -> list[str]:
    """Each server in a line."""
    heads = ("tries", 6), ("refused", 8), ("ways in", 8), ("  honest: served", 16), ("failed", 7), ("longest", 10)
    lines = [" ".join([" " * 11, *(f"{head:>{width}}" for head, width in heads)])]
    for server, account in accounts.items():
        total, honest = account.total, seen.servers.get(server)
        end = f"{'·':>14} {'·':>7} {'·':>10}"
        if honest is not None:
            end = f"{honest.served:14,} {honest.failed:7,} {honest.longest_us / 1000:7.1f} ms"
        elif server == WEB:
            end = f"{web.fetched:14,} {web.failed:7,} {web.longest_ms:7} ms"
        lines.append(f"{server:11} {total.tries:6,} {total.refused:8,} {total.ways_in:8,}   {end}")
    return lines
