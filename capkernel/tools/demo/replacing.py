"""What the stories of live replacement share: a client's report, and when a new program is to come to grief."""

from collections.abc import Sequence

import attrs
from attrs import frozen

FIRST_NEW_LIFE = 2
"""The life of a service in which it is another program for the first time."""


@frozen
class ClientReport:
    """A client's report (``servers.clients.journal_keeper`` says what the words mean)."""

    rounds: int
    requests: int
    failed: int
    wrong: int
    ways_in: int
    taken: int
    longest: int
    done: int

    @property
    def bad(self) -> int:
        """How often something was not as it should be."""
        return self.failed + self.wrong + self.ways_in


def total(reports: Sequence[ClientReport]) -> ClientReport:
    """What all clients counted together; the longest that any of them waited; whether all are done."""
    counts = [sum(column) for column in zip(*map(attrs.astuple, reports), strict=True)]
    longest, done = max(each.longest for each in reports), min(each.done for each in reports)
    return attrs.evolve(ClientReport(*counts), longest=longest, done=done)
