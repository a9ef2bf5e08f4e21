"""The same label in other company, and company in another order: H1, H2, H3, H7, H10 (``specs.flow``)."""

from dataclasses import replace
from functools import lru_cache

from specs.flow.twin import Leak, company, random_pair, random_steps
from specs.flow.view import difference
from specs.flow.worlds import ISOLATED, PARTIES, PAUSE, WIRINGS
from specs.trials.model import Trial

BACKWARD = replace(ISOLATED, turns=(PAUSE, *reversed(ISOLATED.turns[1:])))
"""As ``ISOLATED``, but the domains take their turns the other way round."""


@lru_cache(maxsize=8)
def _leaks(seed: int) -> tuple[Leak, ...]:
    pairs = (random_pair(wiring, label, seed) for wiring in WIRINGS.values() for label in PARTIES)
    return tuple(pair.leak for pair in pairs if pair.leak is not None)


def _first(seed: int, kind: str) -> str | None:
    return next((str(leak) for leak in _leaks(seed) if leak.id == kind), None)


def nonleakage(seed: int) -> str | None:
    """H1 ``nonleakage``: randomise all that lies outside a label's sources, and its views stay what they were.

    Catches: S16 (old data in new memory), S48, and any object shared that no policy mentions. What is claimed, and
    which channels this cannot see, is in docs/information-flow.md.
    """
    return _first(seed, "H1")


def local_respect(seed: int) -> str | None:
    """H2 ``confidentiality_u``: a step of one that is no source changes nothing of a label's view; any other step gives
    the same view from the same views.

    (The second half is compared step by step with H1: the views of all sources are held against each other.)
    """
    return _first(seed, "H2")


def scheduler_is_blind(seed: int) -> str | None:
    """H3: the domains take their turns in the same order whatever the partitions do.

    Catches: a scheduler that looks at threads before it looks at the schedule; S48.
    """
    return _first(seed, "H3")


def time_is_ones_own(seed: int) -> str | None:
    """H10: a label's turns last as long in any company, and the time charged in them is the same.

    Catches: time of one domain charged to another's contexts.
    """
    return _first(seed, "H10")


def independent_calls_commute(seed: int) -> str | None:
    """H7: what labels that share nothing do gives the same whichever of them goes first.

    The domains take their turns forwards in one run and backwards in the other; in a pause afterwards each label's view
    is the same. Catches: hidden state that calls share, allocation that depends on others' history.
    """
    steps = random_steps(ISOLATED, seed)
    runs = [company(wiring, steps) for wiring in (ISOLATED, BACKWARD)]
    for label in PARTIES:
        here, there = (run.seen[label].views[-1] for run in runs)
        if here != there:
            return f"{label} ends with {difference(here, there)} (forwards, backwards)"
    return None


CHECKS = (
    Trial("H1", "nonleakage", "who is no source of a label changes nothing that it sees", nonleakage),
    Trial("H2", "confidentiality_u", "a stranger's step leaves a label's view alone", local_respect),
    Trial("H3", "scheduler_confidentiality", "the scheduler sees no partition's state", scheduler_is_blind),
    Trial("H7", "independent_calls_commute", "calls of labels that share nothing commute",
               independent_calls_commute),
    Trial("H10", "time_is_isolated", "a domain's time does not depend on the others", time_is_ones_own),
)  # fmt: skip
