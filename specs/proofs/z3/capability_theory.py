"""The capability model with symbols for the contents of all slots."""

from collections.abc import Iterator
from types import ModuleType

import z3

from specs.proofs.z3 import capabilities as caps
from specs.proofs.z3.logic import Term, and_
from specs.proofs.z3.prove import Stage


class CapabilityTheory:
    """For so many slots: two caps that interfere, where one goes, what they come from, and what comes from them."""

    name = "capabilities"
    model: ModuleType = caps

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots

    def state(self) -> tuple[caps.State, list[Term]]:
        """All slots with anything in them."""
        return tuple(self._slot(number) for number in range(self.slots)), []

    def _slot(self, n: int) -> caps.Slot:
        flag, count = z3.Bool, z3.Int
        return caps.Slot(
            flag(f"used{n}"), flag(f"untyped{n}"), count(f"base{n}"), count(f"size{n}"), count(f"mark{n}"),
            tuple(flag(f"{right}{n}") for right in caps.RIGHTS), count(f"badge{n}"), flag(f"original{n}"),
            count(f"parent{n}"), count(f"rank{n}"),
        )  # fmt: skip

    def stages(self) -> Iterator[Stage]:
        """Each operation on any slots, with any rights, badge, offset and size."""
        yield Stage("any state", "INVARIANT", "unchanged", None, "CONSEQUENCES")
        source, target, badge, offset, size = z3.Ints("source target badge offset size")
        mask = tuple(z3.Bool(f"mask_{right}") for right in caps.RIGHTS)
        about = (*(and_(x >= 0, x < self.slots) for x in (source, target)), badge >= 0)
        for name in caps.OPERATIONS:
            operation = caps.Operation(name, source, target, mask, badge, offset, size)
            yield Stage(name, "INVARIANT", "perform", operation, "INVARIANT", "STEP_THEOREMS", about)
