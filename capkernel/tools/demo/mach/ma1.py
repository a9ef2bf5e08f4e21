"""MA-1: rights of a port. The holder of send-once rights dies at each of its steps; each right brings one message."""

from capkernel.tools.demo.mach.tasks import Played, crash, play
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story

TITLE = "one receiver, copied send rights, and send-once rights that bring one message each, also when holders die"
POINTS = 7
HOLDER = "third"
SENT, NOTIFIED = 100, 71
"""The ``id`` of a message through a send-once right, and of the notification that it was given up."""


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; then one for each step of the holder's first life at which it is made to crash."""
    calm = _play(story.seed)
    _, copies, rounds, used, given_up, extra = calm.words["server_report"][:6]
    sent, tries, denied = calm.words["client_report"]
    copied, twice, refused = calm.words["third_report"]
    story.claim("send rights can be copied: who had it first and who got a copy are heard", copies == 3 and copied == 1)
    story.claim("who can only send cannot receive, nor make rights, by any operation", tries == denied > 0, denied)
    story.claim("each send-once right brought its message, and no further one", used == rounds and not extra, used)
    story.claim("a used send-once right is refused, also through another cap to it", twice == refused > 0, refused)
    story.claim("the client sent all, and nobody stopped", sent == 3 and not calm.run.faults)
    story.tell(f"the holder makes {calm.steps[HOLDER]} steps; now it crashes at some or all of them")
    runs = [
        _play(story.seed, step) for step in spread(calm.steps[HOLDER], calm.steps[HOLDER] if everywhere else POINTS)
    ]
    story.claim("the holder died in each run", all(run.activated for run in runs), f"{len(runs)} runs")
    story.claim("every right brought exactly one message in every run", all(map(_is_exact, runs)))
    given_up = sum(run.words["server_report"][4] for run in runs)
    story.claim("for a right with which it died, that was a notification", given_up > 0, f"{given_up} rights")
    story.trace_hash = calm.run.trace_hash


def _play(seed: int, step: int = 0) -> Played:
    reports = {"server_report": 10, "client_report": 3, "third_report": 3}
    faults = [crash(HOLDER, step)] if step else []
    return play("mach_tasks", "server_report", reports, faults=faults, seed=seed)


def _is_exact(run: Played) -> bool:
    done, _, rounds, used, given_up, extra, *ids = run.words["server_report"]
    return bool(done) and used + given_up == rounds == len(ids) and not extra and set(ids) <= {SENT, NOTIFIED}
