"""``capkernel policy``: ask a file of rules what it would answer, why, and what another version would answer instead.

    capkernel policy test FILE SUBJECT SERVICE RIGHTS        allowed, or refused
    capkernel policy explain FILE SUBJECT SERVICE RIGHTS     with every reason of every policy
    capkernel policy diff OLD NEW                            each answer that differs, for all whom a file names

The questions are put to a policy that has granted nothing yet but what ``--after`` says, and to diff for as long as
``--duration`` says, or, if it says nothing, for ever and for a millisecond. Of what was granted before, diff tells what
the new rules take back. Files may differ though no such answer does: that is said, and counts as a difference. Exit
status: 0 it is allowed, or nothing differs; 1 it is refused, or something differs; 2 the rules cannot be read, or wrong
usage.
"""

import json
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum
from importlib.metadata import entry_points
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, Protocol

import typer
from attrs import evolve, frozen
from rich.console import Console
from rich.table import Table

from capkernel.protocols.brokering import ALL_RIGHTS, READ, RIGHT_NAMES, WRITE, Question, Verdict

RULES: Final = "capkernel.rules"
"""The entry point group of functions that read rules."""
REFUSED, USAGE = 1, 2
SHORT_US: Final = 1000
"""A duration that few leases refuse."""
_RIGHTS: Final = {"read": READ, "write": WRITE, "all": ALL_RIGHTS}
_RIGHT_NAMES: Final = {right: name for name, right in _RIGHTS.items()}


class Rules(Protocol):
    """Rules that were read, and whom they name."""

    subjects: Collection[str]
    services: Collection[str]

    @property
    def memories(self) -> Mapping[str, Any]:
        """What they remember, as other rules can inherit it."""
        ...

    def judge(self, question: Question) -> Verdict:
        """What they say."""
        ...

    def vetoes(self, question: Question, *, is_held: bool = False) -> tuple[str, ...]:
        """The reasons of those alone who refuse it, or refuse that it stays."""
        ...

    def granted(self, question: Question) -> None:
        """It was granted, or stays."""
        ...

    def keeps(self, question: Question) -> Verdict:
        """Whether what was granted may stay."""
        ...

    def inherit(self, history: Mapping[str, Any]) -> None:
        """Take over what other rules remember."""
        ...


class Action(Enum):
    """What is to be known."""

    TEST = "test"
    EXPLAIN = "explain"
    DIFF = "diff"


def policy(
    action: Annotated[
        Action,
        typer.Argument(
            help="test: allowed or refused; explain: the same with each policy's reason; "
            "diff: which answers are others by another file."
        ),
    ],
    file: Annotated[Path, typer.Argument(help="The rules, in TOML.", dir_okay=False)],
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Who wants what, with which rights: alice loans read|write|all. To diff: the new rules."),
    ] = None,
    purpose: Annotated[str, typer.Option(help="What it is wanted for.")] = "",
    duration: Annotated[float, typer.Option(min=0, help="For how many milliseconds; 0: until it is given up.")] = 0,
    depth: Annotated[int, typer.Option(min=0, help="Through how many hands it has gone.")] = 0,
    after: Annotated[
        list[str] | None, typer.Option(help='What was granted before: "SUBJECT SERVICE RIGHTS"; any number, in order.')
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Ask rules what they would answer, why, and what another version would answer."""
    rules, asked = _read(file), words or []
    if not isfinite(duration):
        _wrong("a duration is a number of milliseconds; for ever is 0")
    before = after or []
    pattern = Question(len(before) + 1, "", "", 0, purpose, round(duration * 1000), 0, depth)
    if action is Action.DIFF:
        if len(asked) != 1:
            _wrong("to diff there are two files, the old rules and the new ones")
        other = _read(Path(asked[0]))
        differences = _taken_back(rules, other, _granted(rules, before, pattern))
        for us in [pattern.duration_us] if duration else [0, SHORT_US]:
            differences += _differences(rules, other, evolve(pattern, duration_us=us))
        is_same = _document(file) == _document(Path(asked[0]))
        _show_differences(differences, as_json, is_same=is_same)
        raise typer.Exit(REFUSED if differences or not is_same else 0)
    question = _question(asked, pattern)
    _granted(rules, before, pattern)
    verdict = rules.judge(question)
    said = {"allowed": verdict.allowed, "reasons": list(verdict.reasons)}
    if as_json:
        print(json.dumps(said, indent=2))
    else:
        print("allowed" if verdict.allowed else "refused")
        if action is Action.EXPLAIN:
            print("\n".join(f"  {reason}" for reason in verdict.reasons) or "  there is no policy that could allow it")
    raise typer.Exit(0 if verdict.allowed else REFUSED)


def _question(words: Sequence[str], pattern: Question) -> Question:
    """What is asked in three words."""
    if len(words) != 3 or words[2] not in _RIGHTS:
        said = f"not {' '.join(words)!r}" if words else "and none of these was said"
        _wrong(
            "a question is three words: SUBJECT (who asks), SERVICE (what is wanted) and RIGHTS "
            f"({', '.join(_RIGHTS)}), as in 'alice loans read', {said}"
        )
    return evolve(pattern, subject=words[0], service=words[1], rights=_RIGHTS[words[2]])


def _granted(rules: Rules, before: Sequence[str], pattern: Question) -> list[Question]:
    """Grant what was granted before, in order; it must be allowed."""
    found = []
    for number, text in enumerate(before, 1):
        question = _question(text.split(), evolve(pattern, number=number))
        if not rules.judge(question).allowed:
            _wrong(f"--after {text!r} could not have been granted: {'; '.join(rules.vetoes(question))}")
        rules.granted(question)
        found.append(question)
    return found


@frozen
class Difference:
    """Something to which two versions give different answers; ``now`` is the newer one's."""

    question: Question
    now: str
    reasons: tuple[str, ...]
    """Of those who refuse it, in whichever version it is refused."""


def _taken_back(old: Rules, new: Rules, grants: Sequence[Question]) -> list[Difference]:
    """Let new rules take the place of old ones; which grants they take back."""
    new.inherit(old.memories)
    found = []
    for grant in grants:
        if new.keeps(grant).allowed:
            new.granted(grant)
        else:
            found.append(Difference(grant, "taken back", new.vetoes(grant, is_held=True)))
    return found


def _differences(old: Rules, new: Rules, pattern: Question) -> Iterator[Difference]:
    """Each question to which the answers differ."""
    for subject in sorted({*old.subjects, *new.subjects}):
        for service in sorted({*old.services, *new.services}):
            for right in RIGHT_NAMES:
                question = evolve(pattern, subject=subject, service=service, rights=right)
                was, now = old.judge(question).allowed, new.judge(question).allowed
                if was is not now:
                    yield Difference(question, "allowed" if now else "refused", (old if now else new).vetoes(question))


def _document(file: Path) -> dict[str, Any]:
    """What a file says, without comments and the order of its lines."""
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _show_differences(differences: Sequence[Difference], as_json: bool, *, is_same: bool) -> None:
    rows = [
        {
            "subject": question.subject, "service": question.service, "right": _RIGHT_NAMES[question.rights],
            "for": f"{question.duration_us / 1000:g} ms" if question.duration_us else "ever",
            "now": difference.now, "reasons": list(difference.reasons),
        }
        for difference in differences for question in [difference.question]
    ]  # fmt: skip
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table()
    for heading in ("subject", "service", "right", "for", "now", "what was in the way, or is"):
        table.add_column(heading)
    for row in rows:
        *words, reasons = row.values()
        table.add_row(*map(str, words), "; ".join(reasons))
    console = Console(highlight=False)
    if rows:
        console.print(table)
    if rows:
        console.print(f"{len(rows)} answers differ")
    elif is_same:
        console.print("nothing differs")
    else:
        console.print(
            "the files differ, though no answer does that was asked: of a policy that has granted no more "
            "than --after says, about those who are named; what it remembers, other durations and depths may make a "
            "difference"
        )


def _read(file: Path) -> Rules:
    readers: list[Callable[[str], Rules]] = [point.load() for point in entry_points(group=RULES)]
    if not readers:
        _wrong("no package that reads rules is installed")
    try:
        return readers[0](file.read_text(encoding="utf-8"))
    except OSError as error:
        _wrong(f"{file}: {error.strerror}")
    except ValueError as error:
        _wrong(f"{file}: {error}")


def _wrong(message: str) -> NoReturn:
    print(f"capkernel policy: {message}", file=sys.stderr)
    raise typer.Exit(USAGE)
