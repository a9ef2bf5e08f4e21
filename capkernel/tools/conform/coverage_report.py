"""Tables of what recordings exercise, and of what they do not, from the counts of ``coverage``."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi.faults import FAULT_NAMES
from capkernel.abi.labels import INVOCATIONS
from capkernel.tools.conform.coverage import (
    BLOCKED,
    COMPLETED,
    FAULT,
    FAULTED,
    INVOCATION,
    LOOKUP,
    LOOKUP_PLACES,
    OBJECT,
    OPERATION,
    OUTCOMES,
    PROGRAM,
    SEND_PHASE,
    STATE,
    STATES,
    SYSCALL,
    SYSCALLS,
    Counts,
)
from capkernel.tools.conform.possible import POSSIBLE
from capkernel.tools.conform.replay import GROUPS

_NEVER_BLOCK = ("NBSend", "NBRecv", "NBWait", "Yield")
_NEVER_FAULT = ("NBSend", "Yield")
_FAULT_DETAILS: dict[str, tuple[str, ...]] = {
    "CapFault": ("send phase", "receive phase"),
    "UnknownSyscall": ("",),
    "UserException": ("number 2", "number 3", "number 4", "number 6"),
    "Timeout": ("",),
    "VMFault": ("status 1", "status 5", "status 7"),
}
"""The faults that this platform knows: RISC-V causes, and the status words of a VMFault."""

_IMPOSSIBLE_LOOKUP = ("MissingCapability", SEND_PHASE)
"""Sending through an empty slot is InvalidCapability, not a fault."""

OUTSIDE = (
    "Interrupts of devices: handler caps are issued and used, but no device ever raises a line.",
    "More than one domain: the recorded kernel was built with one, so no domain ever ends.",
    "Preemption of long operations, and the time that kernel operations take.",
    "What a root task finds at boot: BootInfo, the initial caps, the list of untypeds.",
    "Debug system calls, except that the map of each record was read with DebugCapIdentify.",
    "I/O page tables and IOSpaces: an extension that the recorded platform does not have.",
    "Other configurations of the kernel than the recorded one.",
)
"""What no recording of these groups can show, whatever its counts."""


@dataclass(frozen=True)
class Section:
    """A table: title, a remark for the reader, headings, rows of text."""

    title: str
    remark: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def exercised(counts: Counts) -> list[Section]:
    """What was met, how often."""
    return [
        _groups(counts), _invocations(counts), _invoked_on(counts), _lookups(counts), _syscalls(counts),
        _listed("Faults", ("fault", "detail"), _fault_rows(counts)),
        _listed("Thread states", ("state",), _of_kind(counts, STATE).items()),
        _listed("Objects made by Retype", ("object",), _of_kind(counts, OBJECT).items()),
    ]  # fmt: skip


def not_exercised(counts: Counts) -> list[Section]:
    """What the tables of ``capkernel.abi`` know and no operation met."""
    rows: list[tuple[str, str]] = []
    rows += [("invocation", name) for name in _never_made(counts)]
    rows += [("error", text) for text in _missing_errors(counts)]
    rows += [("lookup failure", text) for text in _missing_lookups(counts)]
    rows += [("system call", text) for text in _missing_syscalls(counts)]
    rows += [("fault", text) for text in _missing_faults(counts)]
    rows += [("thread state", name) for name in STATES if not counts[STATE, name]]
    rows += [("object type", name) for name in obj.TYPE_NAMES if not counts[OBJECT, name]]
    remark = "In the tables of the kernel's interface, but met by no recorded operation."
    return [
        Section("Not exercised", remark, ("kind", "what"), tuple(rows)),
        Section("Outside these recordings", "", ("what",), tuple((text,) for text in OUTSIDE)),
    ]


def _of_kind(counts: Counts, kind: str) -> dict[tuple[str, ...], int]:
    return {key[1:]: number for key, number in sorted(counts.items()) if key[0] == kind}


def _listed(title: str, columns: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], int]]) -> Section:
    return Section(title, "", (*columns, "times"), tuple((*key, str(number)) for key, number in rows))


def _groups(counts: Counts) -> Section:
    rows = [(g, str(counts[PROGRAM, g]), str(counts[OPERATION, g])) for g in GROUPS if counts[PROGRAM, g]]
    remark = "Counted are programs that agree without an assumption. An operation of the group time is a log entry."
    return Section("Programs", remark, ("group", "programs", "operations"), tuple(rows))


# Invocations


def _by_label(counts: Counts) -> dict[str, Counter[str]]:
    """Per invocation, how often each error was answered."""
    table: dict[str, Counter[str]] = {row.name: Counter() for row in INVOCATIONS}
    for (label, error, _), number in _of_kind(counts, INVOCATION).items():
        table.setdefault(label, Counter())[error] += number
    return table


def _invocations(counts: Counts) -> Section:
    rows = []
    for label, answers in _by_label(counts).items():
        possible = POSSIBLE.get(label, frozenset())
        cells = (
            str(answers[name]) if answers[name] else "0" if code in possible else ""
            for code, name in enumerate(err.ERROR_NAMES)
        )
        rows.append((label, *cells))
    remark = "Calls by label and answer. 0: can happen, was not met. Empty: cannot happen."
    return Section("Invocations", remark, ("label", *err.ERROR_NAMES), tuple(rows))


def _invoked_on(counts: Counts) -> Section:
    table: dict[str, Counter[str]] = {}
    for (label, _, cap_type), number in _of_kind(counts, INVOCATION).items():
        table.setdefault(label, Counter())[cap_type] += number
    rows = ((label, ", ".join(f"{t} {n}" for t, n in types.most_common())) for label, types in sorted(table.items()))
    remark = "The kinds of cap that a label was used on, right or wrong."
    return Section("Invoked caps", remark, ("label", "caps"), tuple(rows))


def _never_made(counts: Counts) -> list[str]:
    return [label for label, answers in _by_label(counts).items() if not answers]


def _missing_errors(counts: Counts) -> list[str]:
    missing = []
    for label, answers in _by_label(counts).items():
        names = [err.ERROR_NAMES[code] for code in sorted(POSSIBLE.get(label, ()))]
        never = [name for name in names if not answers[name]]
        if answers and never:
            missing.append(f"{label}: {', '.join(never)}")
    return missing


# Lookups, system calls, faults


def _lookups(counts: Counts) -> Section:
    kinds = err.LOOKUP_FAILURE_NAMES.values()
    rows = ((kind, *(str(counts[LOOKUP, place, kind]) for place in LOOKUP_PLACES)) for kind in kinds)
    return Section("Lookup failures", "", ("failure", *LOOKUP_PLACES), tuple(rows))


def _missing_lookups(counts: Counts) -> list[str]:
    kinds = err.LOOKUP_FAILURE_NAMES.values()
    pairs = ((kind, place) for kind in kinds for place in LOOKUP_PLACES if (kind, place) != _IMPOSSIBLE_LOOKUP)
    return [f"{kind}: {place}" for kind, place in pairs if not counts[LOOKUP, place, kind]]


def _syscalls(counts: Counts) -> Section:
    rows = ((name, *(str(counts[SYSCALL, name, outcome]) for outcome in OUTCOMES)) for name in SYSCALLS)
    remark = "Stopped: the caller became inactive, as one whose call nobody may answer."
    return Section("System calls", remark, ("system call", *OUTCOMES), tuple(rows))


def _missing_syscalls(counts: Counts) -> list[str]:
    missing = []
    for name in SYSCALLS:
        never = {BLOCKED: _NEVER_BLOCK, FAULTED: _NEVER_FAULT}
        can = [outcome for outcome in (COMPLETED, BLOCKED, FAULTED) if name not in never.get(outcome, ())]
        missing += [f"{name}: {outcome}" for outcome in can if not counts[SYSCALL, name, outcome]]
    return missing


def _fault_rows(counts: Counts) -> list[tuple[tuple[str, ...], int]]:
    met = _of_kind(counts, FAULT)
    order = list(FAULT_NAMES.values())
    return sorted(met.items(), key=lambda item: (order.index(item[0][0]), item[0]))


def _missing_faults(counts: Counts) -> list[str]:
    known = ((kind, detail) for kind, details in _FAULT_DETAILS.items() for detail in details)
    return [f"{kind} {detail}".rstrip() for kind, detail in known if not counts[FAULT, kind, detail]]


# Markdown

_HEAD = """\
# Not checked against reality

What the recordings of the real kernel do not exercise, and what they do. Made by
`capkernel conform tests/golden --coverage --markdown`; do not edit.
"""


def to_markdown(counts: Counts) -> str:
    """The page ``docs/not-checked-against-reality.md``: first what is not exercised, then what is."""
    parts = [_HEAD]
    for section in (*not_exercised(counts), *exercised(counts)):
        remark = f"{section.remark}\n\n" if section.remark else ""
        parts.append(f"## {section.title}\n\n{remark}{_markdown_table(section)}")
    return "\n".join(parts)


def _markdown_table(section: Section) -> str:
    lines = [section.columns, tuple("---" for _ in section.columns), *section.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
