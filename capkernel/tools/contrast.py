"""LX-1 to LX-3: the same code in separate domains and linked into one; what a crash reaches, what isolation costs."""

import time

from attrs import frozen

from capkernel.kernel.caps import PageTableCap
from capkernel.tools.campaign.subjects import COMPILED, SUBJECTS
from capkernel.tools.demo.lines import program_lines
from capkernel.tools.demo.lives import Lives
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from hwmodel.sv39 import mappings

TITLE = "isolated servers beside the same code in one domain: what a crash reaches, and what isolation costs"
POINTS, ROUNDS = 8, 40
LONGEST_US, SETTLE_US = 3_000_000, 30_000
_WRITE = 4
"""Bit of a page table entry."""


@frozen
class Build:
    """One of the two: which system, which domain has the driver's code in it, the client's programs."""

    name: str
    system: str
    faulty: str
    client: str
    exposed: tuple[str, ...]
    """Programs whose code can write the client's memory."""
    variant: str = ""


ISOLATED = Build("isolated", "storage", "disk", "client", ("block_writer",), variant="unasked")
LINKED = ("linked", "virtio_blk", "file_server", "block_writer")
MONOLITH = Build("monolith", "monolith", "monolith", "monolith", LINKED)


@frozen
class Blast:
    """What crashes did: runs, those in which the client failed or died, how often everything had to start anew."""

    runs: int
    failures: int
    reboots: int


@frozen
class Price:
    """What a round of the campaign's client costs: 8 KiB written and synced, 8 KiB read.

    ``copied`` are the bytes that programs copied many at a time; what the disk moved by DMA is not among them.
    """

    entries: float
    copied: float
    virtual_us: float
    host_us: float


def story(story: Story, *, everywhere: bool = False) -> None:
    """Both columns."""
    columns = {build.name: _column(build, story.seed) for build in (ISOLATED, MONOLITH)}
    for figure in next(iter(columns.values())):
        values = [column[figure] for column in columns.values()]
        story.figures[figure] = " / ".join(str(value) for value in values)
    story.tell("figures: isolated / monolith")
    isolated, monolith = (_blast(build, story.seed, everywhere) for build in (ISOLATED, MONOLITH))
    story.figures["crashes → client failures"] = f"{_shown(isolated)} / {_shown(monolith)}"
    story.claim("isolated: no crash of the driver reaches the client", isolated.failures == 0, _shown(isolated))
    story.claim("monolith: every crash does", monolith.failures == monolith.runs, _shown(monolith))
    story.claim("isolated: nothing but the driver is started anew", isolated.reboots == 0, isolated.reboots)
    story.claim("monolith: everything is", monolith.reboots >= monolith.runs, monolith.reboots)


def _shown(blast: Blast) -> str:
    return f"{blast.runs} → {blast.failures}"


def _column(build: Build, seed: int) -> dict[str, object]:
    price = _price(build, seed)
    pages, exposed = _exposed_pages(build, seed)
    return {
        "pages of the client that the driver's code can write": f"{exposed} of {pages}",
        "lines of code that can write the client's memory": program_lines(*build.exposed),
        "kernel entries a round": round(price.entries, 1),
        "bytes copied a round": round(price.copied),
        "virtual µs a round": round(price.virtual_us, 1),
        "host µs a round": round(price.host_us),
    }


def _blast(build: Build, seed: int, everywhere: bool) -> Blast:
    calm = Stage(build.system, seed=seed, variant=build.variant)
    calm.run_until(lambda: bool(calm.words("report", 1)[0]), LONGEST_US)
    steps = calm.injector.steps[build.faulty]
    calm.close()
    outcomes = [_crash(build, step, seed) for step in spread(steps - 1, steps if everywhere else POINTS)]
    return Blast(len(outcomes), sum(failed for failed, _ in outcomes), sum(deaths for _, deaths in outcomes))


def _crash(build: Build, step: int, seed: int) -> tuple[bool, int]:
    """One run with a crash: whether the client failed in any way, and how often it died."""
    stage = Stage(build.system, seed=seed, variant=build.variant, faults=(Fault(build.faulty, step, Kind.CRASH),))
    client = Lives(stage, build.client)
    stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    stage.run(time_us=SETTLE_US)
    done, errors, wrong, _ = stage.words("report", 4)
    stage.close()
    deaths = len(client.began) - 1
    return bool(not done or errors or wrong or deaths), deaths


def _price(build: Build, seed: int) -> Price:
    stage = Stage(build.system, seed=seed, variant="campaign", programs=SUBJECTS[build.system].programs(COMPILED))
    stage.run_until(lambda: stage.words("report", 1)[0] >= ROUNDS, LONGEST_US, 100)
    before = _now(stage)
    stage.run_until(lambda: stage.words("report", 1)[0] >= before[0] + ROUNDS, LONGEST_US, 100)
    rounds, entries, copied, ticks, host = (now - then for now, then in zip(_now(stage), before, strict=True))
    stage.close()
    return Price(entries / rounds, copied / rounds, ticks / 10 / rounds, host * 1e6 / rounds)


def _now(stage: Stage) -> tuple[int, int, int, int, float]:
    system = stage.system
    rounds = stage.words("report", 1)[0]
    return rounds, system.loop.entries, system.cpu.copied, system.machine.now(), time.process_time()


def _exposed_pages(build: Build, seed: int) -> tuple[int, int]:
    """Pages that the client writes, and how many of them the driver's code can write too."""
    stage = Stage(build.system, seed=seed, variant=build.variant)
    stage.booted.boot()
    client, faulty = (_writable(stage, pd) for pd in (build.client, build.faulty))
    stage.close()
    return len(client), len(client & faulty)


def _writable(stage: Stage, pd: str) -> set[int]:
    """The physical addresses of the pages that a domain may write."""
    vspace = stage.system.threads[pd].vspace_slot.cap
    if not isinstance(vspace, PageTableCap):
        return set()
    return {page.paddr for page in mappings(stage.system.machine.memory, vspace.paddr) if page.flags & _WRITE}
