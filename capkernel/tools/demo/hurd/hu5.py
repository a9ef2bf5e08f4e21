"""HU-5: translators that are traps: a tree without end, and one that never answers and works as hard as it can.

Who looks there asks for so much and waits for so long, and no longer; what the traps cost is their owner's. They crash,
too. Without limits and patience whoever looks there is lost.
"""

from capkernel.tools.demo.hurd.numbered import process
from capkernel.tools.demo.hurd.playing import Outcome, play
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "translators that never end or never answer: who looks there comes back, and their owner pays"
PROGRAMS = {"alice": "hurd_searcher", "mallory": "hurd_trickster"}
NODES, DEPTH, PATIENCE_US = 40, 5, 3 * 10_000
BEAT_US, BUDGET_US, PERIOD_US = 10_000, 1_000, 5_000
LOST_AFTER_US = 15_000
TRAPS = {1: "the endless one", 2: "the mute one"}


def story(story: Story, *, everywhere: bool = False) -> None:
    """A run with limits and patience; some in which a trap crashes; two without limits or patience."""
    calm = play(story.seed, programs=PROGRAMS)
    _bounded(story, calm)
    _paid(story, calm)
    for number, name in TRAPS.items():
        # What the mute one does after it was asked is to compute, which is no step.
        steps = calm.steps[process(number)]
        points = spread(steps, steps) if everywhere else [1 + steps // 2]
        runs = [play(story.seed, (Fault(process(number), step, Kind.CRASH),), programs=PROGRAMS) for step in points]
        struck = [outcome for outcome in runs if outcome.activated]
        ended = bool(struck) and all(o.is_over and not o.run.faults for o in struck)
        story.claim(f"{name} crashes: alice comes to her end, nobody else stops", ended, f"{len(struck)} runs")
        left = {(o.alice.get("memory left"), o.mallory.get("processes after")) for o in struck}
        story.claim("all is given back", left == {("0", "0")}, left)
    for program, name in {"hurd_searcher_naive": "mute", "hurd_searcher_endless": "tree"}.items():
        lost = play(story.seed, programs={**PROGRAMS, "alice": program}, users=("alice",), longest_us=LOST_AFTER_US)
        seen = f"after {LOST_AFTER_US // 1000} ms"
        story.claim(
            f"who looks into {name!r} without limit and patience does not come back",
            lost.alice.get("begins") == name and "ends" not in lost.alice and not lost.is_over, seen,
        )  # fmt: skip
        served = lost.mallory.get("meanwhile") == "what alice wrote"
        story.claim("the file server serves others meanwhile", served)
    story.trace_hash = calm.run.trace_hash


def _bounded(story: Story, outcome: Outcome) -> None:
    alice = outcome.alice
    story.claim("alice comes to her end", outcome.is_over and not outcome.run.faults, outcome.run.faults)
    word, nodes, deepest, refused = alice["tree found"].split()
    story.claim("her search in the tree without end ends by itself", (alice["tree ended"], word) == ("exited", "cut"))
    looked = int(nodes) + int(refused)
    story.claim("it looks at as many nodes as she said", NODES <= looked <= NODES + DEPTH + 1, looked)
    story.claim("and no deeper", int(deepest) == DEPTH + 1, f"{deepest} names")
    story.claim("names that lead elsewhere are not followed", int(refused) > 0, f"{refused} refused")
    waited = int(alice["mute us"])
    story.claim("where nobody answers she ends it", alice["mute ended"] == "killed", alice["mute ended"])
    story.claim(
        "after as many beats as she had patience", PATIENCE_US <= waited <= PATIENCE_US + 2 * BEAT_US, f"{waited} µs"
    )
    story.claim("the file server serves others meanwhile", outcome.mallory["meanwhile"] == "what alice wrote")
    story.claim("all that her searches took is hers again", alice["memory left"] == "0", alice["memory left"])


def _paid(story: Story, outcome: Outcome) -> None:
    alice, mallory = outcome.alice, outcome.mallory
    waited, hers = int(alice["mute us"]), int(alice["mute cpu_us"])
    spent = int(mallory["cpu_us"])
    story.claim("while she waits she spends no time", hers <= 100, f"{hers} µs of {waited}")
    story.claim("the mute one spends its owner's", spent >= waited * BUDGET_US // PERIOD_US // 2, f"{spent} µs")
    periods = (waited + int(alice["tree us"])) // PERIOD_US + 4
    most = len(TRAPS) * periods * BUDGET_US
    story.claim("and no more than its owner's translators have", spent <= most, f"{spent} of {most} µs")
    charged = int(mallory["memory"]), int(mallory["objects"])
    story.claim("their memory is their owner's", charged[0] > 0 and charged[1] == 2 * 4096, f"{charged} bytes")
    story.figures |= {
        "time of alice's search in the endless tree, µs": alice["tree cpu_us"],
        "time of alice's search in the mute one, µs": hers,
        "time of mallory's translators, µs": spent,
        "memory of alice's search while it ran, bytes": alice["tree memory"],
        "memory of mallory's translators, bytes": sum(charged),
    }
