"""Mutants that are explained: which mean the same as the kernel, and why.

``equivalent.toml`` names them by function and change, so an explanation outlives changes elsewhere; one whose mutant is
gone is stale, one whose mutant is noticed by some case is wrong.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from specs.mutation.mutants import Mutant, modules

FILE = Path(__file__).with_name("equivalent.toml")


class Unreadable(Exception):
    """The file is not as it should be."""


@dataclass(frozen=True)
class Explanation:
    """Why a mutant means the same. ``name`` is its function and change, as ``named`` says them."""

    name: str
    why: str

    @property
    def title(self) -> str:
        """The function that it is about."""
        return self.name.partition("\n")[0]


def named(mutant: Mutant) -> str:
    """A mutant by its function and change."""
    return "\n".join(line.rstrip() for line in (mutant.title, *mutant.diff.split("\n")))


def explanations(path: Path = FILE) -> dict[str, Explanation]:
    """All explanations, by mutants' names. Raises Unreadable."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        blocks = [(str(row["why"]).strip(), str(row["mutants"])) for row in data.get("equivalent", ())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{path}: {type(error).__name__}: {error}") from error
    found: dict[str, Explanation] = {}
    for why, names in blocks:
        for block in filter(None, (block.strip() for block in names.split("\n\n"))):
            name = "\n".join(line.strip() for line in block.split("\n"))
            if not why or name in found:
                raise Unreadable(f"{path}: {'explained twice' if name in found else 'no reason'}:\n{name}")
            found[name] = Explanation(name, why)
    return found


def stale(found: dict[str, Explanation], mutants: Iterable[Mutant]) -> list[Explanation]:
    """Explanations of which no mutant is left; ``mutants`` are all of the kernel's, or of some modules only."""
    mutants = list(mutants)
    names, modules = {named(mutant) for mutant in mutants}, {mutant.module for mutant in mutants}
    return [one for name, one in found.items() if name not in names and module_of(one) in modules | {""}]


def module_of(explanation: Explanation) -> str:
    """The module that an explanation is about, as far as can be told."""
    fitting = [module for module in modules() if explanation.title.startswith(f"{module}.")]
    return max(fitting, key=len, default="")
