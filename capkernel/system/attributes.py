"""Attribute values of one XML element, read and judged.

Every method notes what is wrong in the shared ``Problems`` and returns a harmless stand-in, so
that a reader can go on and find the next problem. A reader throws its element away when
anything was noted while it was read (``Problems.clean_since``).
"""

import re
from collections.abc import Collection, Iterable
from enum import Enum
from typing import TypeVar

from attrs import frozen

from capkernel.system.diagnostics import Problems
from capkernel.system.xmlsource import Element

U64_END = 1 << 64
I64_END = 1 << 63

_DECIMAL = re.compile(r"\+?[0-9]+")
_HEX = re.compile(r"\+?[0-9a-fA-F]+")
_SIGNED_DECIMAL = re.compile(r"[+-]?[0-9]+")
_BOOLEANS = {"true": True, "false": False}

_Choice = TypeVar("_Choice", bound=Enum)


def parse_number(text: str) -> int | None:
    """A 64-bit number in decimal or, after ``0x``, hexadecimal; underscores are ignored.

    ``None`` when the text is not one.
    """
    digits = text.replace("_", "")
    if digits.startswith("0x"):
        form, base, digits = _HEX, 16, digits[2:]
    else:
        form, base = _DECIMAL, 10
    if not form.fullmatch(digits):
        return None
    value = int(digits, base)
    return value if value < U64_END else None


def parse_signed(text: str) -> int | None:
    """A plain decimal 64-bit integer with an optional sign, or ``None``."""
    if not _SIGNED_DECIMAL.fullmatch(text):
        return None
    value = int(text)
    return value if -I64_END <= value < I64_END else None


@frozen
class Attributes:
    """Reads the attributes of ``element`` and notes what is wrong in ``problems``."""

    element: Element
    problems: Problems

    def error(self, message: str, hint: str = "") -> None:
        """Note a problem of this element."""
        self.problems.error(self.element.where, f"<{self.element.tag}>: {message}", hint)

    def remark(self, message: str, hint: str = "") -> None:
        """Note something suspect about this element."""
        self.problems.remark(self.element.where, f"<{self.element.tag}>: {message}", hint)

    def only(self, *names: str) -> None:
        """Refuse every attribute that is not in ``names``."""
        for name in (*self.element.attributes, *self.element.foreign):
            if name not in names:
                self.error(f"unknown attribute '{name}'", _allowed(names))

    def no_content(self) -> None:
        """Remark on children and text, which a leaf element takes no notice of."""
        for child in self.element.children:
            self.remark(f"the element <{child.tag}> inside it (line {child.where.line}) is ignored")
        if self.element.text_at is not None:
            self.remark("the text inside it is ignored")

    def get(self, name: str) -> str | None:
        """The attribute as written, ``None`` when it is absent."""
        return self.element.attributes.get(name)

    def required(self, name: str) -> str:
        """The attribute as written; its absence is a problem."""
        value = self.get(name)
        if value is None:
            self.error(f"the attribute '{name}' is missing")
        return value or ""

    def number(self, name: str, default: int | None = None) -> int:
        """A number in decimal or hexadecimal; required when there is no default."""
        text = self.get(name)
        if text is None and default is not None:
            return default
        value = parse_number(self.required(name) if text is None else text)
        if value is None and text is not None:
            self.error(
                f"{name}: '{text}' is not a number",
                "write decimal, or hexadecimal after 0x; underscores may group digits",
            )
        return value or 0

    def optional_number(self, name: str) -> int | None:
        """A number in decimal or hexadecimal, ``None`` when absent."""
        return None if self.get(name) is None else self.number(name)

    def bounded(self, name: str, low: int, high: int | None, default: int | None = None) -> int:
        """A plain decimal integer between ``low`` and ``high`` inclusive."""
        text = self.get(name)
        if text is None:
            if default is None:
                self.required(name)
            return default or 0
        value = parse_signed(text)
        if value is None:
            self.error(f"{name}: '{text}' is not an integer", "write plain decimal digits here")
            return low
        if value < low or (high is not None and value > high):
            bound = f"at least {low}" if high is None else f"from {low} to {high}"
            self.error(f"{name} is {value}, but must be {bound}")
            return low
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        text = self.get(name)
        if text is None:
            return default
        if text not in _BOOLEANS:
            self.error(f"{name} is '{text}', but must be 'true' or 'false'")
        return _BOOLEANS.get(text, default)

    def choice(self, name: str, kind: type[_Choice], default: _Choice) -> _Choice:
        """One of the values of the enumeration ``kind``."""
        text = self.get(name)
        if text is None:
            return default
        for member in kind:
            if member.value == text:
                return member
        self.error(f"{name} is '{text}', but must be {either(m.value for m in kind)}")
        return default


def either(words: Iterable[str]) -> str:
    """Words as an English choice: ``'a', 'b' or 'c'``."""
    quoted = [f"'{word}'" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _allowed(names: Collection[str]) -> str:
    return f"allowed here: {', '.join(names)}" if names else "this element has no attributes"
