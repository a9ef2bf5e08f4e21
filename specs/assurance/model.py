"""A claim, what a run of its check has shown, and where both come from."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Seen:
    """What a check has looked at: ``amount`` in words with figures, and what spoke against the claim."""

    amount: str
    against: str = "nothing"


@dataclass(frozen=True)
class Claim:
    """Something that is said of the kernel.

    ``how`` names the kind of check, ``assumes`` what it rests on, ``command`` is what repeats it in full: the arguments
    of ``capkernel``, or of Python if the first is ``-m``. ``quick`` is the same on a scale of seconds. ``read`` says
    what the check has looked at, from the JSON that the command prints.
    """

    id: str
    statement: str
    how: str
    assumes: str
    command: tuple[str, ...]
    quick: tuple[str, ...]
    read: Callable[[Any], Seen]
    seconds: int = 600
    """How long the quick form may take."""


def shown(words: tuple[str, ...]) -> str:
    """A command as one types it."""
    return f"{'python' if words[0] == '-m' else 'capkernel'} {shlex.join(words)}"


@dataclass(frozen=True)
class Run:
    """One run of a claim's check.

    ``held`` is None if it could not run; ``why`` says why then. ``kernel`` is the digest of the kernel's sources,
    ``commit`` where the project stood, ``python`` with which interpreter, ``seconds`` how long it took.
    """

    claim: str
    command: str
    held: bool | None
    amount: str
    against: str
    kernel: str
    commit: str
    python: str
    seconds: int
    why: str = ""
