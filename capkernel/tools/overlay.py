"""A shipped system with a few changes, laid over its description and its tables before they are read.

What is laid over a description takes the place of what has the same name (regions, I/O address spaces), the same
address or number in a domain (mappings, interrupts), of a domain's program, or an end of the same channel; all else is
added, to the domain of the same name if there is one. What is laid over a table (TOML) replaces its values, adds to
its tables, and replaces services by their labels.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard
from xml.etree import ElementTree

Element = ElementTree.Element
_DOMAIN: Final = "protection_domain"
_CSPACE: Final = "cspace"
_CHANNEL: Final = "channel"
_NAMED: Final = ("memory_region", "io_address_space")
_PROGRAM: Final = "program_image"
_NUMBERED: Final = {"map": "vaddr", "irq": "id"}
"""What a domain has by numbers, and what the number is called."""
_LABEL: Final = "label"


class OverlayError(ValueError):
    """It cannot be laid over that."""


def lay_over(base: Path, over: Path, place: Path) -> Path:
    """Write a system's description and tables into a directory, with those of the directory ``over`` laid over them.

    Files of ``over`` that have no counterpart beside ``base`` are refused. The description's new path. Raises OSError,
    OverlayError.
    """
    for file in sorted(over.iterdir()):
        under = base.parent / file.name
        if not under.exists():
            raise OverlayError(f"{file}: there is no {under} over which it could be laid")
        read, changes = under.read_text(encoding="utf-8"), file.read_text(encoding="utf-8")
        text = described(read, changes) if file.suffix == base.suffix else tabled(read, changes)
        (place / file.name).write_text(text, encoding="utf-8")
    return place / base.name


def described(base: str, over: str) -> str:
    """A description with another laid over it, as text. Raises OverlayError."""
    root = _parsed(base)
    _join(root, _parsed(over), {each.get("name"): each for each in root.iter(_DOMAIN)})
    return ElementTree.tostring(root, encoding="unicode")


def _parsed(text: str) -> Element:
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_pis=True))
    try:
        return ElementTree.fromstring(text, parser)
    except ElementTree.ParseError as error:
        raise OverlayError(f"this is no description: {error}") from None


def _join(under: Element, over: Element, domains: Mapping[str | None, Element]) -> None:
    for new in over:
        old = (
            domains.get(new.get("name")) if new.tag == _DOMAIN else under.find(_CSPACE) if new.tag == _CSPACE else None
        )
        if old is not None:
            _join(old, new, domains)
            continue
        same = [each for each in under if _stand_for_the_same(each, new)]
        at = list(under).index(same[0]) if same else len(under)
        for each in same:
            under.remove(each)
        under.insert(at, new)


def _stand_for_the_same(old: Element, new: Element) -> bool:
    if old.tag != new.tag:
        return False
    if new.tag in _NAMED:
        return old.get("name") == new.get("name")
    if new.tag in _NUMBERED:
        return old.get(_NUMBERED[new.tag]) == new.get(_NUMBERED[new.tag])
    return new.tag == _PROGRAM or (new.tag == _CHANNEL and not _ends(old).isdisjoint(_ends(new)))


def _ends(channel: Element) -> set[tuple[str | None, str | None]]:
    return {(end.get("pd"), end.get("id")) for end in channel.findall("end")}


def tabled(base: str, over: str) -> str:
    """A table with another laid over it, as text. Raises OverlayError."""
    try:
        return "\n".join(_lines(_merged(tomllib.loads(base), tomllib.loads(over)), ())) + "\n"
    except tomllib.TOMLDecodeError as error:
        raise OverlayError(f"this is no table: {error}") from None


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for key, value in over.items():
        old = found.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            found[key] = _merged(old, value)
        elif _has_labels(old) and _has_labels(value):
            found[key] = list({each[_LABEL]: each for each in [*old, *value]}.values())
        else:
            found[key] = value
    return found


def _has_labels(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) and _LABEL in each for each in value)


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterable[str]:
    """A table's own values, then its tables."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict) or _has_labels(value)}
    yield from (f"{_key(key)} = {_value(value)}" for key, value in table.items() if key not in inner)
    for key, value in inner.items():
        name = ".".join(map(_key, (*path, key)))
        for each in [value] if isinstance(value, dict) else value:
            yield f"[{name}]" if isinstance(value, dict) else f"[[{name}]]"
            yield from _lines(each, (*path, key))


def _letter(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter >= " " and letter != "\x7f" else f"\\u{ord(letter):04X}"


def _key(name: str) -> str:
    return _value(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return f'"{"".join(map(_letter, value))}"'
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
        case _:
            raise OverlayError(f"a {type(value).__name__} cannot be written into a table")
