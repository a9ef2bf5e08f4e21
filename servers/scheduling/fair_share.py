"""Fair share: members have weights, and who is always ready gets time in their proportion.

Start-time fair queueing (Goyal, Guo and Vin, OSDI 1996): a member's virtual time grows by what it uses divided by its
weight, and who is furthest behind comes first. Who has slept does not come back with what he did not use: his virtual
time is at least that of the member furthest behind among those that ran. So between two members that are ready all the
time, use divided by weight differs by at most a lease of each, divided by its weight.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

from servers.scheduling.policy import Policy, Turn

LEASE_US: Final = 1_000


class FairShare(Policy):
    """The policy: ``weights`` by member. Raises ValueError for a weight that is not positive."""

    def __init__(self, weights: Mapping[int, int], lease_us: int = LEASE_US) -> None:
        for member, weight in weights.items():
            if weight <= 0:
                raise ValueError(f"member {member}: a weight is positive, not {weight}")
        self.weights = dict(weights)
        self.lease_us = lease_us
        self.virtual = dict.fromkeys(weights, Fraction(0))

    def ran(self, used: Mapping[int, int], now: int) -> None:
        """Charge them. Whoever ran though others were before him shows that those were blocked meanwhile."""
        running = [member for member, amount in used.items() if amount]
        if not running:
            return
        start = max(self.virtual[member] for member in running)
        for member, amount in used.items():
            if amount:
                self.virtual[member] += Fraction(amount, self.weights[member])
            elif self.virtual[member] < start:
                self.virtual[member] = start

    def order(self, now: int) -> Sequence[Turn]:
        """Who is furthest behind comes first."""
        ranked = sorted(self.virtual, key=lambda member: (self.virtual[member], member))
        return [Turn(member, self.lease_us) for member in ranked]
