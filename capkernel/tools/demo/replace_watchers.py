"""Live replacement of those who watch over others: supervisor, guardian, warden, metronome, while clients work.

Each of three watches over the next, so one can be replaced while another one dies. Nobody's client sees any of it.
"""

from attrs import frozen

from capkernel.tools.demo.replacing import FIRST_NEW_LIFE, ClientReport, total
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

WATCHERS = ("supervisor", "guardian", "warden", "metronome")
REPORTS = ("journal0", "journal1")
REPLACEMENTS = 24
LONGEST_US, SETTLE_US = 4_000_000, 20_000
CRASHING = ("supervisor", "guardian", "metronome")
"""Those whose next program crashes once while it starts. (The warden's is found by its silence.)"""
WORKING, STEP = 2_000, 9
"""Steps after which the driver dies; that of the next supervisor or guardian at which it dies in another run."""


@frozen
class Outcome:
    """What came of a run: what clients, replacer and who waits in the supervisor reported."""

    ended: bool
    replaced: int
    refused: int
    clients: tuple[ClientReport, ...]
    news_failed: int
    news_missing: int
    activated: int
    faults: int
    trace_hash: str

    @property
    def total(self) -> ClientReport:
        """What all clients counted together."""
        return total(self.clients)


def play(faults: tuple[Fault, ...] = (), seed: int = 0) -> Outcome:
    """Run the system once."""
    stage = Stage("replace_watchers", faults=faults, seed=seed)
    ended = stage.run_until(lambda: all(stage.report(ClientReport, name).done for name in REPORTS), LONGEST_US)
    run = stage.run(time_us=SETTLE_US)
    replaced, refused, done = stage.words("report", 3)
    _, failed, missing = stage.words("seen", 3)
    outcome = Outcome(
        ended=ended and bool(done), replaced=replaced, refused=refused,
        clients=tuple(stage.report(ClientReport, name) for name in REPORTS), news_failed=failed, news_missing=missing,
        activated=len(stage.injector.activated), faults=len(run.faults), trace_hash=run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def tell(story: Story) -> None:
    """Claim it of a calm run; of one in which new programs crash while they start; and of runs in which a driver dies,
    and a watcher that has just been replaced.
    """
    new = tuple(Fault(name, 1, Kind.CRASH, life=FIRST_NEW_LIFE) for name in CRASHING)
    for faults in ((), new):
        outcome = play(faults, story.seed)
        at = f"{len(faults)} crashes"
        _claims(story, outcome, at)
        is_so = outcome.activated == outcome.refused == len(faults)
        story.claim("of watchers, those were refused that crashed while they started", is_so, outcome.refused)
        story.claim("who waits in the supervisor waited on", not outcome.news_failed + outcome.news_missing, at)
    for name in ("supervisor", "guardian"):
        faults = Fault("disk", WORKING, Kind.CRASH), Fault(name, STEP, Kind.CRASH, life=FIRST_NEW_LIFE)
        outcome = play(faults, story.seed)
        story.claim("a driver died, and a watcher just after it was replaced", outcome.activated == len(faults), name)
        _claims(story, outcome, f"{name} dies")


def _claims(story: Story, outcome: Outcome, at: str) -> None:
    story.claim("supervisor, guardian, warden and metronome were replaced", outcome.replaced == REPLACEMENTS, at)
    unfailing = outcome.ended and not outcome.total.bad
    story.claim("the watched servers' clients saw nothing of it", unfailing, outcome.total.requests)
    story.claim("no thread was left stopped", not outcome.faults, outcome.faults)
