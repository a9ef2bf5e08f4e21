"""Cutting a diverging program to the operations that matter, and writing it down as a script that can be run.

Delta debugging: operations before the diverging one are taken out, in ever smaller runs, as long as the last one
still differs in the same way. What was observed at the others no longer counts then.
"""

import pprint
from collections.abc import Callable

from capkernel.tools.conform.replay import BEFORE_FIRST, STEPPED_GROUPS, Differences, Divergence, Program, run_steps
from capkernel.tools.conform.steps import Record

_OBSERVED = ("err", "paddr", "done", "busy", "unstarted", "map", "res")
_LINE = 116

Check = Callable[[list[Record]], bool]

_SCRIPT = '''\
"""{id}: {what}."""

from capkernel.tools.conform.replay import report

PROGRAM = {program}

raise SystemExit(report(PROGRAM))
'''


def shrink(program: Program, divergence: Divergence) -> Program:
    """The smallest program found whose last operation diverges as the given divergence says.

    Programs of the group ``time`` run all at once and stay whole; so does one that no longer diverges when cut.
    """
    if program["group"] not in STEPPED_GROUPS:
        return program
    if divergence.operation == BEFORE_FIRST:
        return {**program, "ops": []}
    whole = program["ops"][: divergence.operation + 1]
    last = _judged(whole[-1], divergence)
    before = [_blind(record) for record in whole[:-1]]
    wanted = _differing(last, divergence)

    def diverges(records: list[Record]) -> bool:
        candidate = {**program, "ops": [*records, last]}
        _, found = run_steps(candidate)
        return found is not None and found.operation == len(records) and _differing(last, found) == wanted

    if not diverges(before):
        return {**program, "ops": whole}
    size = max(len(before) // 2, 1)
    while before:
        smaller = _without_runs(before, size, diverges)
        if len(smaller) == len(before) and size == 1:
            break
        before, size = smaller, max(size // 2, 1)
    return {**program, "ops": [*before, last]}


def _without_runs(records: list[Record], size: int, diverges: Check) -> list[Record]:
    """Take out each run of ``size`` records, from the end, that is not needed."""
    for start in range((len(records) - 1) // size * size, -1, -size):
        candidate = records[:start] + records[start + size :]
        if diverges(candidate):
            records = candidate
    return records


def _blind(record: Record) -> Record:
    """The operation alone: nothing that was observed counts."""
    dropped = (*_OBSERVED, "mrs") if "err" in record else _OBSERVED
    return {**{key: value for key, value in record.items() if key not in dropped}, "compare": []}


def _judged(record: Record, divergence: Divergence) -> Record:
    """The diverging operation: only what differs counts, and of the map only the slots that do."""
    judged = {**record, "compare": list(divergence.differences)}
    if "map" in divergence.differences:
        expected, actual = divergence.differences["map"]
        judged["map"] = "".join(want if want != got else "?" for want, got in zip(expected, actual, strict=True))
    return judged


def _differing(record: Record, divergence: Divergence) -> tuple[Differences, str]:
    """What makes two divergences the same: fields, values, and the kind of the exception."""
    found = dict(divergence.differences)
    if "map" in found:
        expected, actual = found["map"]
        masked = zip(record["map"], expected, actual, strict=True)
        found["map"] = record["map"], "".join("?" if mask == "?" else got for mask, _, got in masked)
    return found, divergence.error.strip().rpartition("\n")[2]


def script(program: Program, divergence: Divergence) -> str:
    """A Python script that replays the program, prints expected and actual, and exits with 1 if they differ."""
    if program["group"] not in STEPPED_GROUPS:
        what = "the log differs"
    elif divergence.error:
        what = "the replay raises an exception"
    elif divergence.operation == BEFORE_FIRST:
        what = "the start state differs"
    else:
        what = f"the last of {len(program['ops'])} operations differs"
    text = pprint.pformat(program, width=_LINE, sort_dicts=False)
    return _SCRIPT.format(id=program["id"], what=what, program=text)
