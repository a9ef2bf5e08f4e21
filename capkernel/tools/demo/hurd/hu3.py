"""HU-3: a file server learns who its clients are from its auth server, by a rendezvous, without trusting them.

Claims are handed on, shown twice and forged; a second auth server counts for who trusts it; either dies, and comes back
with who has which identity. With a file server that asks whoever is behind a claim, forgery succeeds.
"""

from typing import Any

from capkernel.tools.demo.hurd.meeting import Met, meet
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

TITLE = "auth rendezvous: identities are proved, not told; replay, relay and forgery fail; two auth servers"
SECRET = "nobody else's"


AUTH_SERVERS = ("auth", "other_auth")
FIRST, SAMPLE, ALL = 2, 3, 1_000
FINISHED, REFUSED = ("done", "(1000,)"), ("Refused", "NotFound")
"""What becomes of a claim that is handed on, and what its owner collects."""
Claim = tuple[str, bool, Any]
"""A sentence, whether it holds, and what was seen."""


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; runs in which an auth server dies; one with the mistake. With ``everywhere`` one for each of 20 seeds,
    which shift the clock, and a death at each step.
    """
    for seed in range(story.seed, story.seed + (20 if everywhere else 1)):
        told = meet(seed)
        story.claim("all came to their end", told.is_over and not told.run.faults, told.run.faults)
        if not told.is_over:
            return
        for sentence, holds, seen in claims(told, {FINISHED}):
            story.claim(sentence, holds, seen)
        story.trace_hash = told.run.trace_hash
    for name in AUTH_SERVERS:
        _died(story, name, told.steps[name], ALL if everywhere else SAMPLE)
    trusting = meet(story.seed, {"nodes": "hurd_nodes_trusting"})
    seen = trusting.mallory.get("as forged")
    story.claim("a server that asks whoever is behind a claim lets mallory read the diary", seen == SECRET, seen)


def _died(story: Story, name: str, steps: int, points: int) -> None:
    """An auth server dies, comes back, and nobody has more or less than before."""
    played = {
        step: meet(story.seed, faults=(Fault(name, step, Kind.CRASH),)) for step in spread_from(FIRST, steps, points)
    }
    story.claim(f"{name} died", all(told.deaths for told in played.values()), f"at {len(played)} points")
    stuck = [step for step, told in played.items() if not told.is_over]
    story.claim("each time all came to their end", not stuck, stuck or "")
    wrong = {
        step: sentence
        for step, told in played.items() if told.is_over
        for sentence, holds, _ in claims(told, {FINISHED, REFUSED}) if not holds
    }  # fmt: skip
    story.claim("each time all said above was so; the claim handed on counted, or was refused", not wrong, wrong or "")


def claims(told: Met, handed_on: set[tuple[str, str]]) -> list[Claim]:
    """What is so in every run; ``handed_on`` are the ways in which a claim that mallory hands on may go."""
    return [*_proved(told), *_attacked(told, handed_on)]


def _proved(told: Met) -> list[Claim]:
    alice = told.alice
    former = (alice["the cap from before"], alice["diary as nobody"])
    root = alice["proved to the other"] == alice["other own"] == "(0,)"
    return [
        ("at first a client is nobody to a file server", alice["at first"] == "()", alice["at first"]),
        ("then it is who its auth server says", alice["proved"] == alice["own"] == "(1000,)", alice["proved"]),
        ("and may what they may", alice["diary"] == SECRET, ""),
        ("the cap from before is nobody's still", former == ("()", "NotPermitted"), former),
        ("to whoever trusts the other auth server she is root", root, alice["proved to the other"]),
        ("to the first file server that counts nothing", alice["other identity"] == "Malformed", ""),
        ("nor the first identity to the other", alice["identity at the other"] == "Malformed", ""),
        ("identities of two auth servers cannot be joined", alice["joined"] == "Malformed", ""),
    ]


def _attacked(told: Met, handed_on: set[tuple[str, str]]) -> list[Claim]:
    mallory = told.mallory
    way = (mallory["hands it on"], told.alice["came to its owner"])
    own = mallory["own"], mallory["diary as oneself"]
    return [
        ("mallory hands alice's claim on as its own; what it is worth came to alice", way in handed_on, way),
        ("that makes mallory nobody", mallory["is then"] == "()", mallory["is then"]),
        ("mallory cannot collect it with the claim", mallory["collects"] == "Malformed", ""),
        ("a claim is no identity", mallory["asks its ids"] == "Malformed", ""),
        ("shown a second time it is refused", mallory["shows it again"] == "Refused", mallory["shows it again"]),
        ("to whichever server", mallory["accepts it itself"] == "Refused", mallory["accepts it itself"]),
        ("as itself mallory may not read the diary", own == ("(1001,)", "NotPermitted"), own[0]),
        ("it cannot make an identity of more ids", mallory["more ids"] == "NotPermitted", ""),
        ("nor get ids by giving up ids", mallory["keeps"] == "()", ""),
        ("an identity is no claim", mallory["shows its identity"] == "Malformed", ""),
        ("nor is a forged one", mallory["forges"] == "Malformed", mallory["forges"]),
        ("and nothing is left for it", mallory["as forged"] == "nothing", mallory["as forged"]),
        ("nobody else's diary came to it", SECRET not in mallory.values(), ""),
    ]
