"""A reference page from the definitions: every interface that a package defines, its operations, and what may fail."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from capkernel.protocols.failures import kinds
from capkernel.protocols.interface import Interface, Operation, operations_of

_HEAD = """# Interfaces

This page is written from the definitions in `capkernel/protocols` (`python -m capkernel.protocols.reference`).

Every object behind a cap also answers `drop()` (close it and what was opened through it), `derive()` (another cap to
the same object, which ends with this one) and `revoke()` (close what was derived from this cap or opened through it).
"""


def page(interfaces: Iterable[type[Interface]]) -> str:
    """The page, in Markdown."""
    parts = [_HEAD, *(_section(interface) for interface in interfaces), _failures()]
    return "\n".join(parts)


def _section(interface: type[Interface]) -> str:
    return "\n".join(_lines(interface))


def _lines(interface: type[Interface]) -> Iterator[str]:
    yield f"## {interface.__name__} ({interface.number})\n"
    yield f"{inspect.getdoc(interface) or ''}\n"
    yield "| no. | operation | |"
    yield "|---:|---|---|"
    for operation in operations_of(interface).values():
        doc = " ".join(operation.doc.split()).replace("|", "\\|")
        yield f"| {operation.number} | `{_signature(operation)}` | {doc} |"
    yield ""


def _signature(operation: Operation) -> str:
    parameters = ", ".join(f"{parameter.name}: {_name(parameter.kind)}" for parameter in operation.parameters)
    result = "" if operation.result is None else f" → {_name(operation.result.kind)}"
    return f"{operation.name}({parameters}){result}"


def _name(kind: Any) -> str:
    if isinstance(kind, type) and not hasattr(kind, "__args__"):
        return kind.__name__
    return getattr(kind, "__name__", None) or str(kind).replace("NoneType", str(None)).rpartition(".")[2]


def _failures() -> str:
    rows = [f"| {kind.code} | `{kind.__name__}` | {inspect.getdoc(kind)} |" for kind in kinds()]
    return "\n".join(["## Failures\n", "| code | | |", "|---:|---|---|", *rows, ""])
