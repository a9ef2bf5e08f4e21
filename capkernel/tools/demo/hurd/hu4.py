"""HU-4: a subhurd, run by a user without privileges; that it crashes changes nothing for anybody outside.

Each of its programs crashes at each of its steps. What is compared is the outer trace (``outer``): for the file server,
the auth server, the starter, the disk's driver and another user, the hash of every kernel entry with the registers
passed and found. Left out are the subhurd's own entries; its owner's, which is told of its end; and those of the
process server, the memory server and /bin, of which the subhurd is a client. Time is left out, too: these three work at
a higher priority than users, so what a subhurd asks them for delays others; the longest delay is measured.
"""

from attrs import frozen

from capkernel.tools.demo.hurd.numbered import process
from capkernel.tools.demo.hurd.outer import OuterTrace
from capkernel.tools.demo.hurd.playing import Outcome, play
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "a subhurd of a user without privileges: whatever crashes in it, the outer trace is the same"
OUTER = ("disk", "nodes", "auth", "starter", "mallory")
WITHOUT, WITH, OUTWARD = "hurd_subhurd_none", "hurd_subhurd_owner", "hurd_subhurd_outward"
PARTS = {1: "its first process", 2: "its user", 3: "its translator", 4: "its file server", 5: "its auth server"}
"""In the order in which they first run: of those that are ready the one that was started last."""
RIGHT = 7
ROUNDS = 8
SAMPLED = (1, 4)
TIME_US = 95_000
TICKS_PER_US = 10


@frozen
class Seen:
    """A run, and the outer trace of it."""

    outcome: Outcome
    outer: str
    times: dict[str, list[int]]


def see(seed: int, alice: str, faults: tuple[Fault, ...] = ()) -> Seen:
    """Run for as long as always: the same beats."""
    traces: list[OuterTrace] = []
    outcome = play(
        seed, faults, programs={"alice": alice, "mallory": "hurd_bystander"},
        watch=lambda stage: traces.append(_watched(stage)), exactly_us=TIME_US,
    )  # fmt: skip
    return Seen(outcome, traces[0].hash(), traces[0].times)


def _watched(stage: Stage) -> OuterTrace:
    stage.booted.boot()
    return OuterTrace(stage, OUTER)


def story(story: Story, *, everywhere: bool = False) -> None:
    """A run without a subhurd, one with one, one for each of some crashes in it; and a crash outside, to compare."""
    without, whole = see(story.seed, WITHOUT), see(story.seed, WITH)
    alice = whole.outcome.alice
    story.claim("all came to their end", whole.outcome.is_over and not whole.outcome.run.faults)
    story.claim(
        "in the subhurd all went as it should", alice.get("code") == str(RIGHT), f"{alice.get('code')} of {RIGHT}"
    )
    story.claim("all that it took is its user's again", alice.get("left") == "(0, 0)", alice.get("left"))
    story.claim(
        "the other user did its work", len(whole.outcome.mallory) == ROUNDS, f"{len(whole.outcome.mallory)} rounds"
    )
    story.claim("the outer trace is as without a subhurd", whole.outer == without.outer, whole.outer[:16])
    crashed: dict[str, list[Seen]] = {}
    for number, name in PARTS.items():
        steps = whole.outcome.steps[process(number)]
        sample = [1 + steps // 2] if number in SAMPLED else []
        for step in spread(steps, steps) if everywhere else sample:
            seen = see(story.seed, WITH, (Fault(process(number), step, Kind.CRASH),))
            if seen.outcome.activated:
                crashed.setdefault(name, []).append(seen)
    for number, name in PARTS.items():
        if number not in SAMPLED and not everywhere:
            continue
        runs = crashed.get(name, [])
        same = bool(runs) and all(seen.outer == without.outer for seen in runs)
        story.claim(f"{name} crashes: the outer trace is the same", same, f"{len(runs)} runs")
    _after_crashes(story, [seen for runs in crashed.values() for seen in runs])
    outward = see(story.seed, OUTWARD).outcome.alice
    story.claim("root inside is not root outside", outward.get("code") == str(RIGHT + 1), outward.get("code"))
    outside = see(story.seed, WITH, (Fault("nodes", whole.outcome.steps["nodes"] // 2, Kind.CRASH),))
    story.claim("a crash of the outer file server is seen in the outer trace", outside.outer != without.outer)
    shifts = [_shift(seen, without) for seen in (whole, *(seen for runs in crashed.values() for seen in runs))]
    story.figures["longest delay of anything outside, µs"] = max(shifts)
    story.figures["outer trace"] = without.outer[:16]
    story.trace_hash = whole.outcome.run.trace_hash


def _after_crashes(story: Story, runs: list[Seen]) -> None:
    story.claim("the subhurd ended each time", all(seen.outcome.is_over for seen in runs), f"{len(runs)} runs")
    story.claim("the other user did its work each time", all(len(s.outcome.mallory) == ROUNDS for s in runs))
    story.claim("nobody outside stopped", all(not seen.outcome.run.faults for seen in runs))
    left = {seen.outcome.alice.get("left", "?") for seen in runs}
    story.claim("all that it took is its user's again", left == {"(0, 0)"}, ", ".join(sorted(left)))


def _shift(seen: Seen, other: Seen) -> float:
    """By how many µs the same entry of a domain came later at most."""
    pairs = [(here, there) for name in OUTER for here, there in zip(seen.times[name], other.times[name], strict=False)]
    return max(abs(here - there) for here, there in pairs) / TICKS_PER_US
