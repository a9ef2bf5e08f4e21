"""``capkernel policy``: ask a file of rules what it would answer, why, and what another version would answer instead.

    capkernel policy test FILE SUBJECT SERVICE RIGHTS        allowed, or refused
    capkernel policy explain FILE SUBJECT SERVICE RIGHTS     with every reason of every policy
    capkernel policy diff OLD NEW                            each answer that differs, for all whom a file names

The questions are put to a policy that has granted nothing yet, and to diff for as long as ``--duration`` says, or, if
it says nothing, for ever and for a millisecond. Files may differ though no such answer does: that is said, and counts
as a difference. Exit status: 0 it is allowed, or nothing differs; 1 it is refused, or something differs; 2 the rules
cannot be read, or wrong usage.
"""

import json
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from enum import Enum
from importlib.metadata import entry_points
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, Protocol

import typer
from attrs import evolve
from rich.console import Console
from rich.table import Table

from capkernel.protocols.brokering import ALL_RIGHTS, READ, RIGHT_NAMES, WRITE, Question, Verdict

RULES: Final = "capkernel.rules"
"""The entry point group of functions that read rules."""
REFUSED, USAGE = 1, 2
SHORT_US: Final = 1000
"""A duration that few leases refuse."""
_RIGHTS: Final = {"read": READ, "write": WRITE, "all": ALL_RIGHTS}


class Rules(Protocol):
    """Rules that were read, and whom they name."""

    subjects: Collection[str]
    services: Collection[str]

    def judge(self, question: Question) -> Verdict:
        """What they say."""
        ...


class Action(Enum):
    """What is to be known."""

    TEST = "test"
    EXPLAIN = "explain"
    DIFF = "diff"


def policy(
    action: Annotated[Action, typer.Argument(help="test, explain, or diff.")],
    file: Annotated[Path, typer.Argument(help="The rules, in TOML.", dir_okay=False)],
    words: Annotated[
        list[str] | None, typer.Argument(help="SUBJECT SERVICE read|write|all; to diff, the file of the new rules.")
    ] = None,
    purpose: Annotated[str, typer.Option(help="What it is wanted for.")] = "",
    duration: Annotated[float, typer.Option(min=0, help="For how many milliseconds; 0: until it is given up.")] = 0,
    depth: Annotated[int, typer.Option(min=0, help="Through how many hands it has gone.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Ask rules what they would answer, why, and what another version would answer."""
    rules, asked = _read(file), words or []
    if not isfinite(duration):
        _wrong("a duration is a number of milliseconds; for ever is 0")
    pattern = Question(1, "", "", 0, purpose, round(duration * 1000), 0, depth)
    if action is Action.DIFF:
        if len(asked) != 1:
            _wrong("to diff there are two files, the old rules and the new ones")
        other = _read(Path(asked[0]))
        durations = [pattern.duration_us] if duration else [0, SHORT_US]
        differences = [
            found for us in durations for found in _differences(rules, other, evolve(pattern, duration_us=us))
        ]
        is_same = _document(file) == _document(Path(asked[0]))
        _show_differences(differences, as_json, is_same=is_same)
        raise typer.Exit(REFUSED if differences or not is_same else 0)
    if len(asked) != 3 or asked[2] not in _RIGHTS:
        _wrong(f"a question is SUBJECT SERVICE and one of {', '.join(_RIGHTS)}")
    verdict = rules.judge(evolve(pattern, subject=asked[0], service=asked[1], rights=_RIGHTS[asked[2]]))
    said = {"allowed": verdict.allowed, "reasons": list(verdict.reasons)}
    if as_json:
        print(json.dumps(said, indent=2))
    else:
        print("allowed" if verdict.allowed else "refused")
        if action is Action.EXPLAIN:
            print("\n".join(f"  {reason}" for reason in verdict.reasons) or "  there is no policy that could allow it")
    raise typer.Exit(0 if verdict.allowed else REFUSED)


def _differences(old: Rules, new: Rules, pattern: Question) -> Iterator[tuple[Question, Verdict, Verdict]]:
    """Each question to which the answers differ."""
    for subject in sorted({*old.subjects, *new.subjects}):
        for service in sorted({*old.services, *new.services}):
            for right in RIGHT_NAMES:
                question = evolve(pattern, subject=subject, service=service, rights=right)
                before, after = old.judge(question), new.judge(question)
                if before.allowed is not after.allowed:
                    yield question, before, after


def _document(file: Path) -> dict[str, Any]:
    """What a file says, without comments and the order of its lines."""
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _show_differences(differences: list[tuple[Question, Verdict, Verdict]], as_json: bool, *, is_same: bool) -> None:
    rows = [
        {
            "subject": question.subject, "service": question.service, "right": RIGHT_NAMES[question.rights],
            "for": f"{question.duration_us / 1000:g} ms" if question.duration_us else "ever",
            "now": "allowed" if after.allowed else "refused",
            "reasons": list((before if after.allowed else after).reasons),
        }
        for question, before, after in differences
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
            "the files differ, though no answer does that was asked: of a policy that has granted nothing yet, about "
            "those who are named; what it remembers, other durations and depths may make a difference"
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
