"""Live replacement: servers give way to others of another kind while clients use them, and nobody notices.

Five clients work with files, mounts and tickets all the time. Meanwhile the drivers of two disks give way to another
driver for the same device, the file server for littlefs to one for FAT, which brings all files to the second disk, the
one for files in memory to another kind of it, the mount server to itself, the ticket server to its next version; and
then all of it back. In a second system a client uses twelve other servers, each of which gives way to itself twice.
"""

from itertools import count

from attrs import frozen

from capkernel.kernel.objects import TCB, BlockedOnReceive, BlockedOnSend, Endpoint
from capkernel.tools.demo import replace_network, replace_watchers
from capkernel.tools.demo.replacing import FIRST_NEW_LIFE, ClientReport, total
from capkernel.tools.demo.stage import DISK_BYTES, Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from hwmodel.block import RamDisk
from hwmodel.cpu.trap import Trap
from hwmodel.virtio import virtio_blk, virtio_rng

TITLE = "drivers, file systems and servers replaced by others with clients running; no request lost or doubled"
CLIENTS = tuple(f"client{number}" for number in range(5))
REPORTS = tuple(f"journal{number}" for number in range(5))
SERVERS = ("files", "scratch", "mounts", "tickets")
REPLACEMENTS, REFUSED = 12, 1
"""Replacements are made, and one is refused in any case: the ticket server's next version fails at its first start."""
LONGEST_US, SETTLE_US = 4_000_000, 20_000
CALLERS = (*CLIENTS, "mounts")
"""Who calls them: the mount server is a client, too."""
CRASHING = {"files": 40, "scratch": 1, "mounts": 1}
"""Servers whose next program crashes while it starts, and at which step; with ``everywhere`` at every so manyth."""
STRIDES = {"files": 3, "scratch": 1, "mounts": 1}
SERVICES = ("console", "timer", "rtc", "entropy", "disk", "files", "log", "audit", "names", "memory", "usage",
            "processes")  # fmt: skip
"""Of the second system; each is replaced twice, and the next program of each of these crashes once while it starts."""


@frozen
class Outcome:
    """What came of a run: what clients and replacer reported.

    ``queued`` counts the calls that came while their server was being replaced, and waited for the next one.
    """

    ended: bool
    replaced: int
    refused: int
    clients: tuple[ClientReport, ...]
    queued: int
    activated: int
    faults: int
    trace_hash: str

    @property
    def total(self) -> ClientReport:
        """What all clients counted together."""
        return total(self.clients)


class Queue:
    """Looks after each kernel entry for calls that wait for a server that has not begun to serve again."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.calls = 0
        self._waiting: set[str] = set()
        self._serving: dict[str, tuple[TCB, Endpoint]] = {}
        stage.system.loop.observers.append(self.look)

    def look(self, trap: Trap) -> None:
        """One kernel entry is over."""
        threads = self.stage.system.threads
        for name in SERVERS:
            thread = threads.get(name)
            if thread is not None and isinstance(thread.state, BlockedOnReceive):
                self._serving[name] = thread, thread.state.endpoint
        replaced = [endpoint for name, (thread, endpoint) in self._serving.items() if thread is not threads.get(name)]
        waiting: set[str] = set()
        for name in CALLERS if replaced else ():
            state = threads[name].state if name in threads else None
            if isinstance(state, BlockedOnSend) and state.endpoint in replaced:
                waiting.add(name)
        self.calls += len(waiting - self._waiting)
        self._waiting = waiting


def play(faults: tuple[Fault, ...] = (), seed: int = 0) -> Outcome:
    """Run the system once."""
    stage = Stage("replace", faults=faults, seed=seed, devices={"virtio1": virtio_blk(RamDisk(DISK_BYTES))})
    queue = Queue(stage)
    ended = stage.run_until(lambda: all(stage.report(ClientReport, name).done for name in REPORTS), LONGEST_US)
    run = stage.run(time_us=SETTLE_US)
    replaced, refused, done = stage.words("report", 3)
    outcome = Outcome(
        ended=ended and bool(done), replaced=replaced, refused=refused,
        clients=tuple(stage.report(ClientReport, name) for name in REPORTS), queued=queue.calls,
        activated=len(stage.injector.activated), faults=len(run.faults), trace_hash=run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def play_services(faults: tuple[Fault, ...] = (), seed: int = 0) -> tuple[Outcome, list[str]]:
    """Run the second system once; also what its client wrote to the console."""
    stage = Stage("replace_services", faults=faults, seed=seed, devices={"virtio1": virtio_rng(seed=seed)})
    ended = stage.run_until(lambda: bool(stage.report(ClientReport, "report").done), LONGEST_US)
    run = stage.run(time_us=SETTLE_US)
    replaced, refused, done = stage.words("replaced", 3)
    outcome = Outcome(
        ended=ended and bool(done), replaced=replaced, refused=refused,
        clients=(stage.report(ClientReport, "report"),), queued=0, activated=len(stage.injector.activated),
        faults=len(run.faults), trace_hash=run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome, [line for line in run.output.splitlines() if line.startswith("line ")]


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run, and one in which three new servers crash once while they start; with ``everywhere`` also one for each
    such step.
    """
    calm = play(seed=story.seed)
    story.claim("nothing was refused but the version that cannot be started", calm.refused == REFUSED, calm.refused)
    _tell(story, calm, "calm")
    faults = tuple(Fault(name, step, Kind.CRASH, life=FIRST_NEW_LIFE) for name, step in CRASHING.items())
    outcome = play(faults, story.seed)
    have_crashed = outcome.activated == len(faults) and outcome.refused == REFUSED + len(faults)
    story.claim("new servers crashed while they started, and the old ones went on", have_crashed, ", ".join(CRASHING))
    _tell(story, outcome, f"{len(faults)} crashes")
    queued = calm.queued + outcome.queued
    for name in CRASHING if everywhere else ():
        queued += _sweep(story, name)
    story.claim("calls came while their server was being replaced, and waited", queued > 0, queued)
    _tell_services(story)
    replace_network.tell(story)
    replace_watchers.tell(story)


def _sweep(story: Story, name: str) -> int:
    """Let a new server crash at one step after the other until it has started; how many calls waited meanwhile."""
    queued = 0
    for step in count(1, STRIDES[name]):
        outcome = play((Fault(name, step, Kind.CRASH, life=FIRST_NEW_LIFE),), story.seed)
        if outcome.refused == REFUSED:
            # It had started before: the next step is one at which it serves.
            story.claim(f"the sweep went through the whole start of {name}", step > CRASHING[name], step)
            return queued
        _tell(story, outcome, f"{name} crashes at step {step}")
        queued += outcome.queued
    return queued


def _tell_services(story: Story) -> None:
    """Claim the same of the second system: undisturbed, and with a crash of each next program while it starts."""
    faults = tuple(Fault(name, 1, Kind.CRASH, life=FIRST_NEW_LIFE) for name in SERVICES)
    for crashes in ((), faults):
        outcome, lines = play_services(crashes, story.seed)
        at = f"{len(crashes)} crashes"
        story.claim("each of twelve other servers was replaced, twice", outcome.replaced == 2 * len(SERVICES), at)
        is_so = outcome.activated == outcome.refused == len(crashes)
        story.claim("what was refused were those that crashed while they started", is_so, outcome.refused)
        total = outcome.total
        unfailing = outcome.ended and not total.bad
        story.claim("their client saw nothing of it", unfailing, f"{total.requests} requests")
        wanted = [f"line {number};" for number in range(total.rounds)]
        story.claim("each line is on the terminal once", lines == wanted, len(lines))
        story.claim("nobody else stopped then", not outcome.faults, outcome.faults)


def _tell(story: Story, outcome: Outcome, at: str) -> None:
    """Claim what is to be so in any run."""
    total = outcome.total
    story.claim("every server was replaced, and then by the former one again", outcome.replaced == REPLACEMENTS, at)
    story.claim("the clients came to an end", outcome.ended, f"{total.rounds} rounds")
    story.claim("no request failed", not total.failed, f"{total.requests} requests")
    story.claim("no record is missing or there twice, no name was made or moved twice", not total.wrong)
    story.claim("each round has its ticket", total.taken == total.rounds, total.taken)
    story.claim("a cap to read did not write, one that was given up led nowhere", not total.ways_in)
    story.claim("nobody else stopped", not outcome.faults, outcome.faults)
    story.figures["a client waited for an answer at most, ms"] = total.longest / 10_000
    story.trace_hash = outcome.trace_hash
