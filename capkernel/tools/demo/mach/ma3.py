"""MA-3: notifications of dead names and of no senders. The one they are about dies at each of its steps."""

from capkernel.tools.demo.mach.tasks import Played, crash, play
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story

TITLE = "dead-name and no-senders notifications come exactly once, whenever it is that somebody dies"
POINTS = 6
MORTAL = "third"
PROGRAMS = {"server": "watcher.elf", "client": "bystander.elf", MORTAL: "mortal.elf"}


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run, in which it ends by itself; then one for each step at which it is made to crash."""
    calm = _play(story.seed)
    _, rounds, dead, empty, deleted, unused, other, wrong = calm.words["server_report"]
    story.claim("each of two rights to a port that died brought one DEAD_NAME", dead == 2 * rounds, f"{rounds} rounds")
    story.claim("each was about the name under which it was asked for", not wrong)
    story.claim("a port without senders brought one NO_SENDERS", empty == rounds > 0, empty)
    story.claim("a right that was given up first brought PORT_DELETED instead", deleted == rounds, deleted)
    story.claim("nothing else came, and nothing later", not unused and not other)
    steps = calm.steps[MORTAL]
    points = spread(steps, steps if everywhere else POINTS)
    story.tell(f"the one who dies makes {steps} steps; now it crashes at {len(points)} of them")
    runs = [_play(story.seed, step) for step in points]
    story.claim("it was made to crash in each run", all(run.activated for run in runs), f"{len(runs)} runs")
    exact = [run for run in runs if run.words["server_report"] == calm.words["server_report"]]
    story.claim("the same notifications came as often, whenever it died", len(exact) == len(runs), f"{len(exact)} runs")
    story.trace_hash = calm.run.trace_hash


def _play(seed: int, step: int = 0) -> Played:
    faults = [crash(MORTAL, step)] if step else []
    return play("mach_tasks", "server_report", {"server_report": 8}, faults=faults, seed=seed, programs=PROGRAMS)
