"""Which faults are tried, and in which order: each kind at each step in turn, then random pairs.

A *batch* is one boot of the system; its number alone decides what happens in it, so it can be played again. A step is
counted from the moment at which the fault is planned: a domain's next step is 1.
"""

import random
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from capkernel.tools.inject import Kind
from hwmodel.faults import FaultKind

BATCH: Final = 100
"""Faults in a batch."""
STEPS: Final = {"disk": 40, "files": 60, "supervisor": 40, "device": 60}
"""How far ahead a fault may be: about what the domain, or the disk, does in a round of the client, or in a recovery."""
DEVICE: Final = "device"
_CODE_KINDS: Final = {
    "disk": (Kind.CRASH, Kind.HANG, Kind.WRONG_ANSWER, Kind.LOST_REPLY),
    "files": (Kind.CRASH, Kind.HANG),
    "supervisor": (Kind.CRASH, Kind.HANG),
}
_DEVICE_KINDS: Final = (
    FaultKind.RESET, FaultKind.STALL, FaultKind.ROGUE_DMA, FaultKind.INTERRUPT_STORM, FaultKind.LOST_INTERRUPT,
    FaultKind.WRONG_ID, FaultKind.WRONG_LENGTH, FaultKind.DOUBLE_COMPLETION, FaultKind.IO_ERROR,
)  # fmt: skip


@frozen
class Planned:
    """A fault: of a domain, or of the disk itself (``DEVICE``), so many steps ahead."""

    target: str
    kind: Kind | FaultKind
    ahead: int
    seed: int

    def __str__(self) -> str:
        return f"{self.target}: {self.kind} {self.ahead} steps ahead"


Kinds = tuple[tuple[str, Kind | FaultKind], ...]
SURVIVABLE: Final[Kinds] = (
    *((target, kind) for target, kinds in _CODE_KINDS.items() for kind in kinds),
    *((DEVICE, kind) for kind in _DEVICE_KINDS),
)
"""What must do no harm at all."""
CORRUPTING: Final[Kinds] = (("disk", Kind.MEMORY), ("disk", Kind.STRAY_STORE), *SURVIVABLE)
"""Besides, a driver whose memory is damaged and who goes on with it: it may tell the disk to write a wrong sector, and
only a second copy of the data would help."""


def batch(number: int, kinds: Kinds = SURVIVABLE) -> Iterator[tuple[Planned, ...]]:
    """What is planned in a batch, one after the other: each kind at each step in turn, then random pairs."""
    chance = random.Random(f"batch {number}")
    singles = [(target, kind, ahead) for target, kind in kinds for ahead in range(1, STEPS[target] + 1)]
    for index in range(number * BATCH, (number + 1) * BATCH):
        if index < len(singles):
            yield (Planned(*singles[index], seed=index),)
        else:
            yield tuple(_drawn(chance, kinds) for _ in range(2))


def _drawn(chance: random.Random, kinds: Kinds) -> Planned:
    target, kind = chance.choice(kinds)
    return Planned(target, kind, chance.randint(1, STEPS[target]), chance.getrandbits(32))
