"""LX-1 to LX-4: the same code in separate domains and linked into one; what a fault reaches, what isolation costs."""

from collections.abc import Callable

from capkernel.tools.campaign.subjects import MONOLITH, MONOLITH_NETWORK, NETWORK, PEERS, STORAGE, Subject
from capkernel.tools.contrast.builds import ALONE, BUILDS, ISOLATED, ONE_DOMAIN
from capkernel.tools.contrast.exposure import exposed_pages
from capkernel.tools.contrast.moving import changed_lines, works_there
from capkernel.tools.contrast.price import file_costs, round_cost
from capkernel.tools.contrast.sample import Outcome, aims, play
from capkernel.tools.demo.lines import own_lines, program_lines
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from capkernel.tools.meter import Cost

TITLE = "isolated servers beside the same code in one domain: what a fault reaches, and what isolation costs"
WORKS = {
    "read": "4 KiB read (disk)", "cached": "4 KiB read (memory)", "write": "4 KiB sequential write",
    "create": "file create",
}  # fmt: skip
ECHO = "TCP echo of 2,000 bytes"
OTHER_DRIVERS = ("console_sifive", "timer_sifive")
"""Those that only the second board has, in the place of ``console_ns16550`` and ``timer_capkernel``."""
LATE_STEP, LONGEST_US = 100, 3_000_000


def story(story: Story, *, everywhere: bool = False) -> None:
    """Both columns."""
    story.tell("the campaign's faults, one after the other, in both builds")
    _campaign(story, "disk", (STORAGE, MONOLITH), ("disk", "files"), everywhere)
    if why := _no_network():
        story.tell(f"the network is NOT RUN: {why}")
    else:
        _campaign(story, "network", (NETWORK, MONOLITH_NETWORK), ("card", "network"), everywhere)
    _without_supervisor(story)
    story.tell("what lies open, what it costs, and another board")
    _exposure(story)
    _prices(story, with_network=not _no_network())
    _moving(story)


def _no_network() -> str:
    """Why there is none here; empty if there is one."""
    try:
        NETWORK.devices()
    except Exception as error:
        return f"{PEERS}: {error}"
    return ""


def _both(story: Story, figure: str, values: list[object]) -> None:
    """A figure of each build."""
    story.figures[figure] = {build.name: value for build, value in zip(BUILDS, values, strict=True)}


def _campaign(
    story: Story, what: str, subjects: tuple[Subject, Subject], servers: tuple[str, ...], everywhere: bool
) -> None:
    chosen = tuple(aims(subjects[0], servers, everywhere=everywhere))
    isolated, linked = (play(subject, chosen, story.seed) for subject in subjects)
    for words, software in (("crashes and hangs of servers", True), ("faults of the device", False)):
        _both(story, f"{what}: {words} → client failures", [
            f"{each.count(software=software)} → {each.harmful(software=software)}" for each in (isolated, linked)
        ])  # fmt: skip
    _both(story, f"{what}: restarts", [f"{isolated.restarts} of servers", f"{linked.restarts} of everything"])
    is_whole = len(isolated.harms) == len(linked.harms) == len(chosen)
    story.claim(f"{what}, isolated: no fault reaches the client", is_whole and not any(isolated.harms), isolated.told())
    story.claim(f"{what}, one domain: each crash and hang does; all is started anew", _all_die(linked), linked.told())
    story.claim(
        f"{what}, both: the driver puts right what its device does wrong, and the kernel's invariants hold",
        not any(each.harmful(software=False) or each.broken for each in (isolated, linked)),
    )


def _all_die(outcome: Outcome) -> bool:
    return outcome.harmful(software=True) == outcome.count(software=True) == outcome.restarts


def _without_supervisor(story: Story) -> None:
    """The kinder monolith is started anew. One without a supervisor is over."""
    stage = Stage(
        ONE_DOMAIN.system, seed=story.seed, variant=ALONE,
        faults=(Fault(ONE_DOMAIN.faulty, LATE_STEP, Kind.CRASH),),
    )  # fmt: skip
    is_done = stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    seen = [f"{name} {what}" for name, what in stage.system.faults]
    stage.close()
    is_over = bool(seen) and not is_done
    story.claim("one domain without a supervisor: the first crash is the end", is_over, "; ".join(seen))


def _exposure(story: Story) -> None:
    counts = [exposed_pages(build, story.seed) for build in BUILDS]
    pages = [f"{exposed} of {written}" for written, exposed in counts]
    _both(story, "pages of the client that the driver's code can write", list(pages))
    _both(story, "lines of code that can write the client's memory", [program_lines(*b.exposed) for b in BUILDS])


def _prices(story: Story, *, with_network: bool) -> None:
    """Isolation has its price, and this is what it is."""
    costs = [file_costs(build, story.seed) for build in BUILDS]
    named = {words: [each[kind] for each in costs] for kind, words in WORKS.items()}
    if with_network:
        named[ECHO] = [round_cost(subject, story.seed) for subject in (NETWORK, MONOLITH_NETWORK)]
    columns: dict[str, Callable[[Cost], object]] = {
        "virtual µs": lambda cost: round(cost.virtual_us or 0, 1),
        "kernel entries": lambda cost: round(cost.kernel_entries or 0, 1),
        "bytes copied": lambda cost: round(cost.copied or 0), "host µs": lambda cost: round(cost.host_us),
    }  # fmt: skip
    for unit, value in columns.items():
        for words, pair in named.items():
            _both(story, f"{words}: {unit}", [value(cost) for cost in pair])
    story.claim(
        "isolation has its price: each of these takes more of the kernel than in one domain",
        all((isolated.kernel_entries or 0) > (linked.kernel_entries or 0) for isolated, linked in named.values()),
    )


def _moving(story: Story) -> None:
    lines = [changed_lines(build.system) for build in BUILDS]
    _both(story, "the disk: lines of the description changed for another board (none of code)", list(lines))
    story.tell(
        "a terminal and a timer are other devices there: "
        f"{changed_lines('console')} lines of console.system, and drivers whose own modules have "
        + ", ".join(f"{own_lines(driver)} lines ({driver})" for driver in OTHER_DRIVERS)
    )
    story.claim("on another board both end as on the first", all(works_there(build, story.seed) for build in BUILDS))
    story.claim("isolation makes moving no harder", lines[BUILDS.index(ISOLATED)] <= lines[BUILDS.index(ONE_DOMAIN)])
