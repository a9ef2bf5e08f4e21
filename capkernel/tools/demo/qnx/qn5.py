"""QN-5: a client gives up waiting, and the server is told; what goes wrong if a receive ID means more than one."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "a client gives up, and the server is told which request; the next request under the same receive ID is safe"
COUNT = 4
EINTR, ESRCH = 4, 3
SHORT_US, COMPUTING_US, PERIOD_US, SLACK_US = 2_000, 4_000, 20_000, 100
LONGEST_US = 300_000
SAMPLE = 8


@frozen
class Ended:
    """How a request ended: the error number, 0 if it was answered; after how many microseconds."""

    errno: int
    after_us: int


@frozen
class Outcome:
    """What the client saw, and how often the server was told that a client gave up."""

    ended: tuple[Ended, ...]
    unblocked: int
    steps: int
    trace_hash: str


def story(story: Story, *, everywhere: bool = False) -> None:
    """The library, then a naive shim in its place, then the server dies: at some of its steps, or ``everywhere``."""
    good = _play(story.seed)
    abandoned, slow, innocent, patient = good.ended
    story.claim("a client that gave up goes on with EINTR", abandoned.errno == EINTR, abandoned)
    late = abandoned.after_us - SHORT_US
    story.claim("as soon as its time has run out", 0 <= late <= SLACK_US, f"{late} µs after it")
    story.claim("a reply that comes before the server has seen the pulse counts", slow.errno == 0, slow)
    story.claim(
        "that pulse is older than the request that follows, and does not touch it", innocent.errno == 0, innocent
    )
    story.claim("a timeout that did not run out has no effect", patient.errno == 0, patient)
    story.claim("the server was told just once", good.unblocked == 1, good.unblocked)
    story.tell("the same clients, the same server, with receive IDs that mean a connection (a naive shim)")
    bad = _play(story.seed, {"server": "qnx_device_server_naive.elf"})
    victim = bad.ended[2]
    story.claim("naive: a request that nobody has given up is interrupted", victim.errno == EINTR, victim)
    story.claim("naive: the server was told twice", bad.unblocked == 2, bad.unblocked)
    steps = range(1, good.steps + 1) if everywhere else range(2, good.steps + 1, max(1, good.steps // SAMPLE))
    runs = [_play(story.seed, faults=(Fault("server", step, Kind.CRASH),)) for step in steps]
    ended = sum(len(run.ended) == COUNT for run in runs)
    story.claim("wherever the server dies, every request ends", ended == len(runs), f"{ended} of {len(runs)}")
    errors = {each.errno for run in runs for each in run.ended}
    story.claim("with an answer, EINTR, or ESRCH", errors <= {0, EINTR, ESRCH} and ESRCH in errors, sorted(errors))
    story.trace_hash = good.trace_hash


def _play(seed: int, programs: dict[str, str] | None = None, faults: tuple[Fault, ...] = ()) -> Outcome:
    stage = Stage("qnx_unblock", seed=seed, programs=programs, faults=faults)
    stage.run_until(lambda: stage.words("report", 1)[0] == COUNT, LONGEST_US)
    steps = stage.injector.steps["server"]
    done, *words = stage.words("report", 1 + 2 * COUNT)
    unblocked = stage.words("state", 1)[0] if "server" in stage.system.threads else 0
    ended = tuple(Ended(*words[2 * index : 2 * index + 2]) for index in range(done))
    run = stage.run(time_us=1)
    stage.close()
    return Outcome(ended, unblocked, steps, run.trace_hash)
