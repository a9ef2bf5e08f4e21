"""QN-1: the states of a client who sends; what it hears when its server dies before it has replied."""

from itertools import pairwise

from capkernel.tools.demo.qnx.states import READY, RECEIVE, REPLY, SEND, Watch
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "SEND-blocked, REPLY-blocked, READY; when the server dies its clients are READY again, with ESRCH"
CLIENTS = ("a", "b")
COUNT = 4
ESRCH = 3
LONGEST_US = 300_000
SAMPLE = 6
AFTER = {READY: {SEND, REPLY, RECEIVE}, SEND: {REPLY, READY}, REPLY: {READY}}
"""Which state may follow which: a client whose server waits already is never SEND-blocked. RECEIVE is the end, the
client has nothing more to ask."""


def story(story: Story, *, everywhere: bool = False) -> None:
    """A run without a fault, then the server dies at steps of its own; with ``everywhere`` at each of them."""
    stage, watch = _play(story.seed, ())
    steps = stage.injector.steps["server"]
    story.tell("two clients of equal priority; the server is busy with the first when the second sends")
    for name in CLIENTS:
        story.tell(f"client_{name}: {' → '.join(watch.seen[f'client_{name}'])}")
    done = all(_report(stage, name)[:3] == (COUNT, COUNT, 0) for name in CLIENTS)
    story.claim("every request is answered, and rightly", done)
    path = _joined(watch.seen["client_b"])
    story.claim("who sends to a busy server is SEND-, then REPLY-blocked, then READY", "SEND REPLY READY" in path)
    path = _joined(watch.seen["client_a"])
    story.claim("who sends to a waiting server is REPLY-blocked at once", path.startswith("READY REPLY READY"), path)
    story.claim("no other change of state is seen", _is_legal(watch))
    story.trace_hash = stage.run(time_us=1).trace_hash
    stage.close()
    points = range(1, steps + 1) if everywhere else range(2, steps + 1, max(1, steps // SAMPLE))
    _die(story, points)


def _die(story: Story, points: range) -> None:
    finished, honest, legal, told, from_send = 0, 0, 0, 0, 0
    heard: set[int] = set()
    for step in points:
        stage, watch = _play(story.seed, (Fault("server", step, Kind.CRASH),))
        reports = [_report(stage, name) for name in CLIENTS]
        errors = [errno for report in reports for errno in report[3:] if errno]
        finished += all(report[0] == COUNT for report in reports)
        honest += all(report[2] == 0 and report[1] + sum(map(bool, report[3:])) == COUNT for report in reports)
        legal += _is_legal(watch) and all(watch.seen[f"client_{name}"][-1] in (READY, RECEIVE) for name in CLIENTS)
        told += set(errors) <= {ESRCH}
        heard |= set(errors)
        from_send += SEND in watch.at_death.values()
        stage.close()
    count = len(points)
    stage, watch = _play(story.seed, (Fault("process_manager", 1, Kind.CRASH), Fault("server", 6, Kind.CRASH)))
    stuck = {watch.seen[f"client_{name}"][-1] for name in CLIENTS} & {SEND, REPLY}
    stage.close()
    story.claim("without the process manager they would stay blocked", bool(stuck), ", ".join(sorted(stuck)))
    story.claim("wherever the server dies, no client stays blocked", finished == count, f"{finished} of {count}")
    story.claim("each request was answered rightly, or failed", honest == count, f"{honest} of {count}")
    story.claim("those that failed failed with ESRCH", told == count and heard == {ESRCH}, f"{told} of {count}")
    story.claim("among them are clients who were SEND-blocked when it died", from_send > 0, f"{from_send} of {count}")
    story.claim("no client is seen in a state that QNX does not have there", legal == count, f"{legal} of {count}")


def _play(seed: int, faults: tuple[Fault, ...]) -> tuple[Stage, Watch]:
    stage = Stage("qnx_states", seed=seed, faults=faults)
    stage.booted.boot()
    watch = Watch(stage, {f"client_{name}": [] for name in CLIENTS})
    stage.run_until(lambda: all(_report(stage, name)[0] == COUNT for name in CLIENTS), LONGEST_US)
    return stage, watch


def _report(stage: Stage, name: str) -> tuple[int, ...]:
    return stage.words(f"report_{name}", 3 + COUNT)


def _joined(states: list[str]) -> str:
    return " ".join(states)


def _is_legal(watch: Watch) -> bool:
    return all(
        later in AFTER.get(earlier, set()) for states in watch.seen.values() for earlier, later in pairwise(states)
    )
