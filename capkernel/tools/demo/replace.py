"""Live replacement: servers give way to others of another kind while clients use them, and nobody notices.

Three clients work with files and tickets all the time. Meanwhile the drivers of two disks give way to another driver
for the same device, the file server for littlefs to one for FAT, which brings all files to the second disk, the ticket
server to its next version; and then all of it back.
"""

from itertools import count

from attrs import frozen

from capkernel.kernel.objects import TCB, BlockedOnReceive, BlockedOnSend
from capkernel.tools.demo.stage import DISK_BYTES, Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from hwmodel.block import RamDisk
from hwmodel.cpu.trap import Trap
from hwmodel.virtio import virtio_blk

TITLE = "drivers, file systems and servers replaced by others with clients running; no request lost or doubled"
CLIENTS = tuple(f"client{number}" for number in range(3))
REPORTS = tuple(f"journal{number}" for number in range(3))
SERVERS = ("files", "tickets")
REPLACEMENTS, REFUSED = 8, 1
"""Replacements are made, and one is refused in any case: the ticket server's next version fails at its first start."""
LONGEST_US, SETTLE_US = 4_000_000, 20_000
FILES, FIRST_NEW_LIFE = "files", 2
SAMPLE, STRIDE = 40, 3
"""The step at which the new file server crashes while it starts; with ``everywhere`` every so manyth, to the last."""


@frozen
class Outcome:
    """What came of a run: what clients and replacer reported.

    ``queued`` counts the calls that came while their server was being replaced, and waited for the next one.
    """

    ended: bool
    replaced: int
    refused: int
    clients: tuple[tuple[int, ...], ...]
    queued: int
    activated: int
    faults: int
    trace_hash: str

    def total(self, place: int) -> int:
        """The sum of what all clients counted."""
        return sum(words[place] for words in self.clients)


ROUNDS, REQUESTS, FAILED, WRONG, WAYS_IN, TAKEN, LONGEST, DONE = range(8)
"""Words of a client's report (``servers.clients.journal_keeper``)."""


class Queue:
    """Looks after each kernel entry for clients whose call waits for a server that has not begun to serve again."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.calls = 0
        self._waiting: set[str] = set()
        self._serving: dict[str, TCB] = {}
        stage.system.loop.observers.append(self.look)

    def look(self, trap: Trap) -> None:
        """One kernel entry is over."""
        threads = self.stage.system.threads
        for name in SERVERS:
            thread = threads.get(name)
            if thread is not None and isinstance(thread.state, BlockedOnReceive):
                self._serving[name] = thread
        waiting = {name for name in CLIENTS if name in threads and isinstance(threads[name].state, BlockedOnSend)}
        if any(thread is not threads.get(name) for name, thread in self._serving.items()):
            self.calls += len(waiting - self._waiting)
        self._waiting = waiting


def play(faults: tuple[Fault, ...] = (), seed: int = 0) -> Outcome:
    """Run the system once."""
    stage = Stage("replace", faults=faults, seed=seed, devices={"virtio1": virtio_blk(RamDisk(DISK_BYTES))})
    queue = Queue(stage)
    ended = stage.run_until(lambda: all(stage.words(name, 8)[DONE] for name in REPORTS), LONGEST_US)
    run = stage.run(time_us=SETTLE_US)
    replaced, refused, done = stage.words("report", 3)
    outcome = Outcome(
        ended=ended and bool(done), replaced=replaced, refused=refused,
        clients=tuple(stage.words(name, 8) for name in REPORTS), queued=queue.calls,
        activated=len(stage.injector.activated), faults=len(run.faults), trace_hash=run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A run in which the new file server crashes once while it starts; with ``everywhere`` one for each such step."""
    queued = 0
    for step in count(1, STRIDE) if everywhere else (SAMPLE,):
        outcome = play((Fault(FILES, step, Kind.CRASH, life=FIRST_NEW_LIFE),), story.seed)
        has_crashed = bool(outcome.activated) and outcome.refused > REFUSED
        if everywhere and not has_crashed:
            # It had started before: the next step is one at which it serves.
            story.claim("the sweep went through the whole start of the new file server", step > SAMPLE, step)
            break
        story.claim("the new file server crashed once while it started, and the old one went on", has_crashed, step)
        _tell(story, outcome, f"crash at step {step}")
        queued += outcome.queued
    story.claim("calls came while their server was being replaced, and waited", queued > 0, queued)


def _tell(story: Story, outcome: Outcome, at: str) -> None:
    """Claim what is to be so in any run."""
    story.claim("every server was replaced, and then by the former one again", outcome.replaced == REPLACEMENTS, at)
    story.claim("the clients came to an end", outcome.ended, f"{outcome.total(ROUNDS)} rounds")
    story.claim("no request failed", not outcome.total(FAILED), f"{outcome.total(REQUESTS)} requests")
    story.claim("no record is missing or there twice, no name was made or moved twice", not outcome.total(WRONG))
    story.claim("each round has its ticket", outcome.total(TAKEN) == outcome.total(ROUNDS), outcome.total(TAKEN))
    story.claim("a cap to read did not write, one that was given up led nowhere", not outcome.total(WAYS_IN))
    story.claim("nobody else stopped", not outcome.faults, outcome.faults)
    longest = max(words[LONGEST] for words in outcome.clients)
    story.figures["a client waited for an answer at most, ms"] = longest / 10_000
    story.trace_hash = outcome.trace_hash
