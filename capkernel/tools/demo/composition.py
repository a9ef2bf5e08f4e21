"""One system of all: MINIX keeps a Hurd translator alive, paged by L4, found by a QNX path, granted by lease."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from capkernel.tools.demo.stage import Stage, Watcher, nobody
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind
from hwmodel.virtio import virtio_rng

TITLE = "two competitors' archives: supervised, translated, paged, found by path, granted by lease behind a wall"
UNWALLED: Final = "unwalled"
"""The variant in which nobody asks the wall."""
OPEN: Final = dict.fromkeys(("red", "blue"), "composition_archive_open.elf")
"""Archives that take a path for a grant."""
SUPERVISED: Final = (
    "red", "blue", "pager", "paths", "broker", "wall", "audit", "files", "disk", "entropy", "timer",
    "supervisor",
)  # fmt: skip
LONGEST_US, BEAT_US = 4_000_000, 2_000
"""The longest run; how often it is looked whether it is over."""
LATENCY_US, REBUILT_US, SILENT_US, MANY_US = 1_000, 60_000, 70_000, 150_000
"""For so long a reading may work after its lease: as a rule; if the broker, or whom it asks to take something back, is
being started anew; if it must first be noticed that one of those is silent; if several go wrong at once.
"""
FIRST, SAMPLE, ALL = 40, 1, 20
CLIENTS: Final = ("alice", "bob", "mallory")


@frozen
class Reader:
    """What alice's program reports, or bob's."""

    done: int
    red: int
    blue: int
    refused: int
    crossed: int
    used: int
    kept: int
    late_us: int


@frozen
class Trespasser:
    """Mallory's."""

    done: int
    tries: int
    places: int
    granted: int
    read: int
    attached: int

    @property
    def ways_in(self) -> int:
        """What worked that must not."""
        return self.granted + self.read + self.attached


@frozen
class Outcome:
    """What came of a run. ``page_faults`` are those that the pager served, by company."""

    alice: Reader
    bob: Reader
    mallory: Trespasser
    page_faults: tuple[int, ...]
    activated: tuple[Fault, ...]
    steps: Mapping[str, int]
    lives: Mapping[str, int]
    time_us: int
    trace_hash: str

    @property
    def is_over(self) -> bool:
        """Whether all came to their end."""
        return bool(self.alice.done and self.bob.done and self.mallory.done)

    @property
    def is_walled(self) -> bool:
        """Whether nobody has read both companies' lines, nor any without a grant."""
        return not any((each.red and each.blue) or each.crossed for each in (self.alice, self.bob))

    @property
    def late_us(self) -> int:
        """By how much a reading was begun after the end of its lease, at most."""
        return max(self.alice.late_us, self.bob.late_us)


def play(
    faults: tuple[Fault, ...] = (), seed: int = 0, variant: str = "", programs: Mapping[str, str] | None = None,
    clients: tuple[str, ...] = CLIENTS, watch: Watcher = nobody,
) -> Outcome:  # fmt: skip
    """Run the system once, until these clients are done. ``watch`` is called when it is ready to run."""
    devices = {"virtio1": virtio_rng(seed=seed + 1)}
    stage = Stage("composition", faults=faults, seed=seed, variant=variant, devices=devices, programs=programs)
    watch(stage)
    stage.run_until(lambda: stage.have_reported(*(f"report_{name}" for name in clients)), LONGEST_US, BEAT_US)
    run = stage.run(time_us=100)
    outcome = Outcome(
        stage.report(Reader, "report_alice"), stage.report(Reader, "report_bob"),
        stage.report(Trespasser, "report_mallory"), stage.words("page_faults", 2), tuple(stage.injector.activated),
        dict(stage.injector.steps), dict(stage.injector.lives), stage.system.machine.now() // 10, run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; runs in which a server dies; the same clients without the wall, and where paths are grants."""
    calm = play(seed=story.seed)
    alice, bob, mallory = calm.alice, calm.bob, calm.mallory
    story.claim("alice read red's archive by its path", bool(alice.red and calm.is_over), f"{alice.red} times")
    story.claim("the wall refused her blue's", alice.refused > 0 and not alice.blue, f"{alice.refused} times")
    story.claim("bob read blue's and was refused red's", bool(bob.blue and bob.refused) and not bob.red)
    story.claim("neither could show the other's path to a grant", not alice.crossed + bob.crossed)
    late = calm.late_us
    story.claim(f"no reading worked {LATENCY_US} µs after its lease", late <= LATENCY_US, f"{late} µs late")
    used = alice.used + bob.used
    story.claim("nor any session that was kept", used > 0 and not alice.kept + bob.kept, f"{used} were tried")
    seen = ", ".join(str(count) for count in calm.page_faults)
    story.claim("the archives' memory came by page faults", min(calm.page_faults) >= 2, f"{seen} of red, blue")
    story.claim(
        "who knew all paths and had no grant got nothing", mallory.places > 0 and not mallory.ways_in,
        f"{mallory.places} places, {mallory.tries} tries",
    )  # fmt: skip
    _deaths(story, calm, ALL if everywhere else SAMPLE, SUPERVISED if everywhere else SUPERVISED[:4])
    bare = play(seed=story.seed, variant=UNWALLED, clients=("alice",))
    story.claim("where nobody asks the wall alice reads both", bool(bare.alice.red and bare.alice.blue))
    bare = play(seed=story.seed, programs=OPEN, clients=("mallory",))
    story.claim("where a path is a grant the same attacker reads both", bare.mallory.read > 0, bare.mallory.read)
    story.figures["page faults of red, blue"] = list(calm.page_faults)
    story.trace_hash = calm.trace_hash


def _deaths(story: Story, calm: Outcome, points: int, mortals: tuple[str, ...]) -> None:
    """Each server dies at some of its steps; alice and bob go on."""
    played = [
        (f"{name} {step}", play((Fault(name, step, Kind.CRASH),), story.seed))
        for name in mortals
        for step in spread_from(FIRST, calm.steps[name], points)
    ]
    survived = [place for place, outcome in played if not outcome.activated]
    story.claim(f"each of {', '.join(mortals)} died", not survived, survived or f"at {len(played)} points in all")
    stuck = [place for place, outcome in played if not outcome.is_over]
    story.claim("each time it was started anew, and all went on to their end", not stuck, stuck or "")
    loose = [place for place, outcome in played if not outcome.is_walled or outcome.mallory.ways_in]
    story.claim("each time nobody read both companies' lines, nor any without a grant", not loose, loose or "")
    late = max(outcome.late_us for _, outcome in played)
    kept = [place for place, outcome in played if outcome.alice.kept + outcome.bob.kept]
    story.claim("each time leases ended", late <= REBUILT_US and not kept, kept or f"at most {late} µs late")
