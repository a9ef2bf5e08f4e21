"""Live replacement of what a network is made of: with connections open, bytes on their way, browsers in mid-page.

A client sends bytes to a host at the other end of the cable, which sends them back; browsers there fetch pages. All the
while network server, card's driver, web server, file server and disk's driver give way to their next versions.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from capkernel.tools.demo.cable import TICKS_PER_MS, card, peer
from capkernel.tools.demo.network import why_not
from capkernel.tools.demo.replacing import FIRST_NEW_LIFE, ClientReport
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from hwmodel.wiring import DeviceFactory

REPLACEMENTS = 21
LONGEST_MS = 3_000
POLL_US = 500
CRASHING = ("network", "card", "web", "files")
"""Servers whose next program crashes once while it starts."""


@frozen
class Outcome:
    """What came of a run: what client and replacer reported, and what browsers outside saw."""

    ended: bool
    replaced: int
    refused: int
    client: ClientReport
    fetched: int
    broken: int
    wrong: int
    activated: int
    faults: int
    trace_hash: str


class Peer:
    """The host at the other end of the cable, in the machine's time."""

    def __init__(self) -> None:
        self.host: Any = peer("far_host")

    @property
    def devices(self) -> Mapping[str, DeviceFactory]:
        """The card whose cable leads there."""
        return {"virtio1": card(self.host)}

    def count(self, what: str) -> int:
        """The sum over all browsers."""
        return sum(getattr(browser, what) for browser in self.host.browsers)


def play(faults: tuple[Fault, ...] = (), seed: int = 0) -> Outcome:
    """Run the system once: until nothing is replaced any more, and all that was begun is ended."""
    peer = Peer()
    stage = Stage("replace_network", faults=faults, seed=seed, devices=peer.devices)
    stage.booted.boot()
    ended = False
    for _ in range(LONGEST_MS * 1000 // POLL_US):
        if stage.system.run(time_us=POLL_US) != "time":
            break
        stage.system.machine.poll_input()
        peer.host.is_browsing = bool(stage.words("published", 1)[0])
        has_stopped = stage.words("orders", 1)[0] and peer.host.stop()
        if has_stopped and stage.report(ClientReport, "report").done:
            ended = True
            break
    replaced, refused, done = stage.words("replaced", 3)
    outcome = Outcome(
        ended=ended and bool(done), replaced=replaced, refused=refused, client=stage.report(ClientReport, "report"),
        fetched=peer.count("fetched"), broken=peer.count("failed"), wrong=peer.count("wrong"),
        activated=len(stage.injector.activated), faults=len(stage.system.faults),
        trace_hash=stage.booted.trace.hash(),
    )  # fmt: skip
    stage.close()
    return outcome


def tell(story: Story) -> None:
    """Claim it of a calm run, and of one in which the next program of each server crashes once while it starts."""
    reason = why_not()
    if reason:
        story.tell(f"the network's servers are not replaced here: {reason}")
        return
    for crashing in ((), CRASHING):
        faults = tuple(Fault(name, 1, Kind.CRASH, life=FIRST_NEW_LIFE) for name in crashing)
        _claims(story, play(faults, story.seed), len(crashing))


def _claims(story: Story, outcome: Outcome, crashes: int) -> None:
    at = f"{crashes} crashes"
    story.claim("five servers of a machine in the network were replaced", outcome.replaced == REPLACEMENTS, at)
    is_so = outcome.activated == outcome.refused == crashes
    story.claim("what was refused were new programs that crashed while they started", is_so, outcome.refused)
    unfailing = outcome.ended and not outcome.client.failed
    story.claim("the client ended, and none of its requests failed", unfailing, f"{outcome.client.requests} requests")
    story.claim("every byte that it sent came back once", not outcome.client.wrong, f"{outcome.client.rounds} rounds")
    story.claim("caps that were given up, or are for less, led nowhere", not outcome.client.ways_in)
    story.claim("no connection of a browser outside broke", outcome.fetched > 0 and not outcome.broken, outcome.broken)
    story.claim("each page came whole, and once", not outcome.wrong, f"{outcome.fetched} pages")
    story.claim("nobody else stopped in it", not outcome.faults, outcome.faults)
    story.figures["the network's client waited for an answer at most, ms"] = outcome.client.longest / TICKS_PER_MS
