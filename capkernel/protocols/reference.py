"""A reference page from the definitions: every interface that a package defines, its operations, and what may fail.

``python -m capkernel.protocols.reference`` writes docs/interfaces.md, when the package is used from its repository.
"""

import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import attrs

from capkernel import protocols
from capkernel.protocols.failures import kinds
from capkernel.protocols.interface import Interface, Operation, interfaces, operations_of

PAGE: Final = Path(__file__).parents[2] / "docs" / "interfaces.md"
_NO_INTERFACES: Final = ("reference", "strategies")
"""Modules of the package that define none; the second needs what only tests have."""

_HEAD = """# Interfaces

This page is written from the definitions in `capkernel/protocols` (`python -m capkernel.protocols.reference`).

Every object behind a cap also answers `drop()` (give the cap up), `derive()` (another cap to the same object, which
ends when this one is revoked) and `revoke()` (close what was derived from this cap or opened through it).
"""


def defined() -> list[type[Interface]]:
    """Every interface of the package, by number."""
    for module in pkgutil.iter_modules(protocols.__path__, f"{protocols.__name__}."):
        if module.name.rpartition(".")[2] not in _NO_INTERFACES:
            import_module(module.name)
    return [each for each in interfaces() if each.__module__.startswith(f"{protocols.__name__}.")]


def page(interfaces: Iterable[type[Interface]]) -> str:
    """The page, in Markdown."""
    parts = [_HEAD, *(_section(interface) for interface in interfaces), _failures()]
    return "\n".join(parts)


def _section(interface: type[Interface]) -> str:
    return "\n".join(_lines(interface))


def _lines(interface: type[Interface]) -> Iterator[str]:
    yield f"## {interface.__name__} ({interface.number})\n"
    yield f"{(inspect.getdoc(interface) or '').replace('``', '`')}\n"
    yield "| no. | operation | |"
    yield "|---:|---|---|"
    for operation in operations_of(interface).values():
        yield f"| {operation.number} | `{_signature(operation)}` | {_prose(operation.doc)} |"
    yield ""
    records = _records(interface)
    if records:
        yield "| type | fields or values | |"
        yield "|---|---|---|"
        for name, kind in records.items():
            yield f"| `{name}` | `{_fields(kind)}` | {_prose(inspect.getdoc(kind) or '')} |"
        yield ""


def _prose(doc: str) -> str:
    """A docstring for a cell of a table."""
    return " ".join(doc.split()).replace("|", "\\|").replace("``", "`")


def _signature(operation: Operation) -> str:
    parameters = ", ".join(f"{parameter.name}: {_name(parameter.kind)}" for parameter in operation.parameters)
    result = "" if operation.result is None else f" → {_name(operation.result.kind)}"
    return f"{operation.name}({parameters}){result}"


def _name(kind: Any) -> str:
    origin, args = get_origin(kind), [_name(each) for each in get_args(kind)]
    if origin in (Union, UnionType):
        return " or ".join(args)
    if origin is tuple:
        return f"tuple[{args[0]}, ...]"
    return (
        f"{origin.__name__}[{', '.join(args)}]"
        if origin
        else str(getattr(kind, "__name__", kind)).replace("NoneType", "None")
    )


def _records(interface: type[Interface]) -> dict[str, type]:
    """The attrs classes and enums that an interface's operations take or return, by name."""
    found: dict[str, type] = {}
    for operation in operations_of(interface).values():
        for parameter in (*operation.parameters, *([operation.result] if operation.result else [])):
            if not parameter.is_cap:
                _collect(parameter.kind, found)
    return found


def _collect(kind: Any, found: dict[str, type]) -> None:
    for each in get_args(kind):
        _collect(each, found)
    if isinstance(kind, type) and kind.__name__ not in found and (attrs.has(kind) or issubclass(kind, Enum)):
        found[kind.__name__] = kind
        for hint in get_type_hints(kind).values() if attrs.has(kind) else ():
            _collect(hint, found)


def _fields(kind: type) -> str:
    if issubclass(kind, Enum):
        return ", ".join(f"{member.name} = {member.value!r}" for member in kind)
    return ", ".join(f"{name}: {_name(hint)}" for name, hint in get_type_hints(kind).items())


def _failures() -> str:
    # Those of a server's own are its own affair, and known here only if somebody has imported it.
    common = [kind for kind in kinds() if kind.__module__.startswith(__package__)]
    rows = [f"| {kind.code} | `{kind.__name__}` | {inspect.getdoc(kind)} |" for kind in common]
    return "\n".join(["## Failures\n", "| code | | |", "|---:|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(defined()))
