"""All that is claimed: ``claims.toml``, read."""

import shlex
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from specs.assurance.model import Claim
from specs.assurance.reading import READERS

FILE: Final = Path(__file__).parent / "claims.toml"


def _read() -> tuple[Claim, ...]:
    rows = tomllib.loads(FILE.read_text())["claim"]
    return tuple(
        Claim(
            row["id"], row["statement"], row["how"], row["assumes"], tuple(shlex.split(row["command"])),
            tuple(shlex.split(row["quick"])), READERS[row["read"]],
        )
        for row in rows
    )  # fmt: skip


CLAIMS: Final = _read()
"""In the order of the page."""


def find(names: Iterable[str]) -> list[Claim]:
    """The claims of these names, or all. Raises KeyError, saying which there are."""
    known = {claim.id: claim for claim in CLAIMS}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise KeyError(f"no claim is named {wrong[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(CLAIMS)
