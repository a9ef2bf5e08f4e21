"""Reading recordings: one JSON object a line, a program each, in ``.jsonl`` or ``.jsonl.gz`` files."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capkernel.abi.labels import BY_NAME
from capkernel.abi.message import MSG_MAX_EXTRA_CAPS
from capkernel.tools.conform.replay import GROUPS, TIMELINE_GROUP, Program

SUFFIXES = (".jsonl", ".jsonl.gz")
_SYSTEM_CALLS = ("root", "worker", "insn")


class InputError(Exception):
    """A recording cannot be read: ``file:line: what (what would be right)``."""


@dataclass(frozen=True)
class Recorded:
    """A program and where it stands."""

    path: Path
    line: int
    program: Program


def recordings_in(paths: Iterable[Path]) -> list[Path]:
    """The recording files that the paths name, those of directories sorted by name. Raises InputError."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
        if not inside:
            raise InputError(f"{path}: no recordings in this directory (expected files named *.jsonl or *.jsonl.gz)")
        found += inside
    return found


def read(path: Path) -> Iterator[Recorded]:
    """The programs of one file, in order; blank lines do not count. Raises InputError.

    A file named ``*.json`` holds one program, over as many lines as it likes.
    """
    lines = _lines(path)
    if path.suffix == ".json":
        lines = iter([(1, "".join(line for _, line in lines))])
    for number, line in lines:
        try:
            program = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}:{number}: not JSON: {error} (expected one JSON object a line)") from None
        _check(f"{path}:{number}", program)
        yield Recorded(path, number, program)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    opener = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error.reason} (expected JSON lines)") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None


def _check(where: str, program: Any) -> None:
    """What every program must have. Raises InputError."""
    if not isinstance(program, dict):
        raise InputError(f"{where}: not a program but {_kind(program)} (expected a JSON object)")
    group = program.get("group")
    if group not in GROUPS:
        raise InputError(f"{where}: unknown group {group!r} (expected one of {', '.join(GROUPS)})")
    records = "log" if group == TIMELINE_GROUP else "ops"
    for key, kind in (("id", str), ("init", dict), (records, list)):
        if not isinstance(program.get(key), kind):
            found = _kind(program[key]) if key in program else "nothing"
            raise InputError(f"{where}: {key!r} is {found} (expected {_NAMES[kind]})")
    for index, record in enumerate(program[records]):
        if not isinstance(record, dict):
            raise InputError(f"{where}: {records}[{index}] is {_kind(record)} (expected an object)")
    if group != TIMELINE_GROUP:
        _check_operations(where, program["ops"])


def _check_operations(where: str, records: list[dict[str, Any]]) -> None:
    for index, record in enumerate(records):
        name = record.get("op")
        if name not in _SYSTEM_CALLS and name not in BY_NAME:
            raise InputError(
                f"{where}: ops[{index}]: unknown operation {name!r} (expected the name of an invocation, or one of "
                f"{', '.join(_SYSTEM_CALLS)})"
            )
        _check_shape(f"{where}: ops[{index}]", record, _SHAPES.get(str(name), _INVOCATION))


def _check_shape(where: str, record: dict[str, Any], shape: dict[str, type]) -> None:
    """Fields whose names end with ``?`` may be left out. Raises InputError."""
    for name, kind in shape.items():
        key = name.removesuffix("?")
        if key not in record and key != name:
            continue
        if type(record.get(key)) is not kind:
            found = _kind(record[key]) if key in record else "nothing"
            raise InputError(f"{where}: {key!r} is {found} (expected {_NAMES[kind]})")
    if len(record.get("caps", ())) > MSG_MAX_EXTRA_CAPS:
        raise InputError(f"{where}: {len(record['caps'])} caps (expected at most {MSG_MAX_EXTRA_CAPS})")
    if len(record.get("recv", "123")) != len("123"):
        raise InputError(f"{where}: 'recv' has {len(record['recv'])} numbers (expected root, index and depth)")


_OBSERVED: dict[str, type] = {"done": list, "busy": list, "map": str, "unstarted?": list}
_MESSAGE: dict[str, type] = {
    **_OBSERVED, "sys": str, "cap": int, "label": int, "len": int, "mrs": list, "caps": list, "reply?": int,
    "dest?": int,
}  # fmt: skip
_SHAPES: dict[str, dict[str, type]] = {
    "root": {**_MESSAGE, "res?": dict},
    "worker": {**_MESSAGE, "w": int, "recv?": list},
    "insn": {**_OBSERVED, "insn": str, "regs": dict, "w": int, "buf?": list},
}
"""The fields of a record, by its operation."""
_INVOCATION: dict[str, type] = {
    "args": dict, "svc": int, "err": str, "mrs": list, "map": str, "done?": list, "busy?": list, "unstarted?": list,
    "len?": int, "ncaps?": int, "extra_mrs?": list, "paddr?": list,
}  # fmt: skip


_NAMES: dict[type, str] = {
    dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number", bool: "a truth value",
    type(None): "null",
}  # fmt: skip


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), "something else")
