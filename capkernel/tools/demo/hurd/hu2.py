"""HU-2: a passive translator starts at the first look-up, again after a crash, and again after a reboot.

Its command line lies on the disk. It crashes at each of its steps; a reboot is a second machine with the same disk.
"""

from capkernel.tools.demo.hurd.numbered import process
from capkernel.tools.demo.hurd.playing import Outcome, play
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "a passive translator starts at the first look-up, again after a crash, and after a reboot"
PROGRAMS = {"alice": "hurd_keeper", "mallory": "hurd_lurker"}
COMMAND = "hurd_hello it was asleep"
GREETING, LOUD, QUIET, DIARY = "it was asleep\n", "QUIET WORDS", "quiet words", "nobody else's"
TRANSLATORS = {1: "the greeting", 2: "the filter"}


def story(story: Story, *, everywhere: bool = False) -> None:
    """A boot on a blank disk, a second on the same; and a boot for each of some crashes of each translator."""
    first = play(story.seed, programs=PROGRAMS)
    alice = first.alice
    story.claim("all came to their end", first.is_over and not first.run.faults, first.run.faults)
    story.claim("before anybody looks nothing runs", alice["before"] == "0", alice["before"])
    story.claim("the first look-up starts it", (alice["greeting"], alice["after one"]) == (GREETING, "1"))
    story.claim("the second does not", (alice["greeting again"], alice["after two"]) == (GREETING, "1"))
    story.claim(
        "a filter serves the file below it", (alice["quiet"], alice["quiet below"]) == (LOUD, QUIET), alice["quiet"]
    )
    _authority(story, first)
    second = play(story.seed, programs=PROGRAMS, disk=first.disk)
    alice = second.alice
    story.claim("after a reboot the command line is there", alice["found"] == COMMAND, alice["found"])
    story.claim("nothing runs until somebody looks", alice["before"] == "0")
    story.claim(
        "then it runs again", (alice["greeting"], alice["quiet"]) == (GREETING, LOUD), alice["greeting"].strip()
    )
    for number, name in TRANSLATORS.items():
        steps = first.steps[process(number)]
        points = spread(steps, steps) if everywhere else [1 + steps // 2]
        story.tell(f"{name} makes {steps} steps, and crashes at {len(points)} of them")
        runs = [play(story.seed, (Fault(process(number), step, Kind.CRASH),), programs=PROGRAMS) for step in points]
        _crashed(story, name, [outcome for outcome in runs if outcome.activated])
    story.trace_hash = first.run.trace_hash


def _authority(story: Story, outcome: Outcome) -> None:
    alice, mallory = outcome.alice, outcome.mallory
    for name, text in {"sets passive": "set", "removes passive": "remove"}.items():
        story.claim(f"mallory cannot {text} alice's command line", mallory[name] == "NotPermitted", mallory[name])
    table = mallory["writes the table"]
    story.claim("nor open the table in which it is", table == "NotFound", table)
    story.claim("alice's translator may read what she may", alice["own peek"] == DIARY, alice["own peek"])
    seen = alice["mallory's peek"]
    story.claim("mallory's, started by alice's look-up, may not", seen == "NotPermitted", seen)
    story.claim("without its command line a node is itself", alice["itself"] == QUIET, alice["itself"])


def _crashed(story: Story, name: str, outcomes: list[Outcome]) -> None:
    right = all(
        (o.alice.get("greeting"), o.alice.get("greeting again"), o.alice.get("quiet")) == (GREETING, GREETING, LOUD)
        for o in outcomes
    )  # fmt: skip
    story.claim(f"{name} crashes: it is started again", bool(outcomes) and right, f"{len(outcomes)} runs")
    told = [outcome.alice.get("again", "?") for outcome in outcomes]
    story.claim("who waited for it is told, and looks again", set(told) <= {"0", "1"}, told)
    story.claim("nobody else stops", all(o.is_over and not o.run.faults for o in outcomes))
