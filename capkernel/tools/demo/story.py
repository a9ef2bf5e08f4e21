"""A story: what was claimed, whether it held, and what was seen. Demonstrations and tests are made of the same ones."""

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field, frozen

Tell = Callable[[str], None]
"""Told what is being done, a line at a time."""


@frozen
class Claim:
    """Something that was to be so."""

    text: str
    holds: bool
    seen: str


@define
class Story:
    """What a demonstration showed, in few runs if it is to be brief. ``figures`` are measurements, by name.

    ``trace_hash`` is of one of its runs: where there is one in which nothing is made to fail, of that.
    """

    name: str
    title: str
    seed: int
    tell: Tell = field(repr=False, default=lambda line: None)
    claims: list[Claim] = field(factory=list)
    figures: dict[str, Any] = field(factory=dict)
    trace_hash: str = ""
    is_brief: bool = False
    skipped: str = ""
    """Why it cannot be played here."""

    def skip(self, reason: str) -> None:
        """It cannot be played here: nothing is claimed, and that is said."""
        self.skipped = reason
        self.tell(f"NOT RUN: {reason}")

    def claim(self, text: str, holds: bool, seen: object = "") -> None:
        """Note whether something was so."""
        self.claims.append(Claim(text, holds, str(seen)))

    @property
    def holds(self) -> bool:
        """Whether every claim held; a story without claims shows nothing."""
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    def failed(self) -> Iterator[Claim]:
        """The claims that did not hold."""
        return (claim for claim in self.claims if not claim.holds)

    def data(self) -> dict[str, Any]:
        """All of it, for JSON."""
        claims = [{"claim": claim.text, "holds": claim.holds, "seen": claim.seen} for claim in self.claims]
        return {
            "name": self.name, "title": self.title, "seed": self.seed, "holds": self.holds, "claims": claims,
            "skipped": self.skipped,
            "figures": self.figures, "trace_hash": self.trace_hash,
        }  # fmt: skip
