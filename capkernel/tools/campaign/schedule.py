"""Which faults are tried, and in which order: each kind at each step in turn, then random pairs, then random groups.

A *batch* is one run of a system; the system, whether programs are spoilt, and the batch's number alone decide what
happens in it, so it can be played again. A *trial* is what is planned at one time, after which the client must go on. A
step is counted from the moment at which a fault is planned: a domain's next step is 1.
"""

import random
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from capkernel.tools.campaign.subjects import AnyKind, Kinds, Subject, Target
from capkernel.tools.inject import Kind
from hwmodel.faults import FaultKind

TRIALS: Final = 100
"""In a batch."""
GROUP: Final = 6
"""Faults in a group, at most."""
MISTAKES: Final = 100
"""That the code of a program gets at a time, as in MINIX's campaign; every third time only a few."""
FEW: Final = 10
MUTATIONS: Final = 0.7
"""Of the faults of programs that are spoilt, how many are mistakes in their code."""
_RARE: Final = frozenset((
    Kind.WRONG_ANSWER, Kind.LOST_REPLY, Kind.DOUBLE_REPLY, Kind.NO_MEMORY, FaultKind.LOST_INTERRUPT, FaultKind.WRONG_ID,
    FaultKind.WRONG_LENGTH, FaultKind.DOUBLE_COMPLETION, FaultKind.IO_ERROR, FaultKind.LOST_FRAME,
    FaultKind.DOUBLE_FRAME, FaultKind.LATE_FRAME, FaultKind.CORRUPT_DATA,
))  # fmt: skip
"""Kinds that few steps allow: if chance decides, the next such step is meant."""


@frozen
class Planned:
    """A fault, so many steps ahead; of a program's code, so many at a time."""

    target: Target
    kind: AnyKind
    ahead: int
    seed: int
    count: int = 1
    or_later: bool = False

    @property
    def name(self) -> str:
        """Target and kind, by which faults are counted."""
        return f"{self.target.name}: {self.kind}"

    def __str__(self) -> str:
        return f"{self.name}{f' × {self.count}' if self.count > 1 else ''} {self.ahead} steps ahead"


def batch(subject: Subject, number: int, *, spoilt: bool = False) -> Iterator[tuple[Planned, ...]]:
    """What is planned in a batch, one trial after the other."""
    chance = random.Random(f"{subject.name} {spoilt} {number}")
    kinds = subject.kinds(spoilt=spoilt, number=number)
    singles = [(target, kind, ahead) for target, kind in kinds for ahead in range(1, target.steps + 1)]
    size = 1 if spoilt else 2 if number % 2 else GROUP
    turn = subject.turn(number, spoilt=spoilt)
    for index in range(turn * TRIALS, (turn + 1) * TRIALS):
        if index < len(singles):
            target, kind, ahead = singles[index]
            faults: tuple[Planned, ...] = (
                Planned(target, kind, ahead, index, MISTAKES if kind is Kind.MUTATION else 1),
            )
            if (rouser := subject.by_target.get(target.roused_by)) is not None:
                faults += (Planned(rouser, Kind.CRASH, 1, index),)
        else:
            faults = tuple(_drawn(chance, kinds) for _ in range(size))
        if spoilt and subject.remember:
            target = subject.by_target[chance.choice(subject.remember)]
            faults += (Planned(target, Kind.CRASH, chance.randint(1, target.steps), index),)
        yield faults


def _drawn(chance: random.Random, kinds: Kinds) -> Planned:
    mutations = [each for each in kinds if each[1] is Kind.MUTATION]
    target, kind = chance.choice(mutations if mutations and chance.random() < MUTATIONS else kinds)
    ahead, count = chance.randint(1, target.steps), 1
    if kind is Kind.MUTATION:
        count = chance.choice((MISTAKES, MISTAKES, chance.randint(1, FEW)))
    return Planned(target, kind, ahead, chance.getrandbits(32), count, kind in _RARE)
