"""Text of others, to be shown: it may say anything, and must not do anything."""

from typing import Final

_NAMED: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}


def visible(text: str) -> str:
    """The text in one line of printable characters; what is not printable is shown as ``\\n``, ``\\x1b``, ``\\u202e``.

    Two texts that look alike here are alike (a backslash is doubled), but for characters that only resemble each other.
    """
    return "".join(_NAMED.get(each) or (each if each.isprintable() else _code(each)) for each in text)


def harmless(text: str) -> str:
    """The text for a terminal: newlines and tabs as they are, other control characters as ``^[`` or ``\\u202e``."""
    return "".join(each if each in "\n\t" or each.isprintable() else _caret(each) for each in text)


def _caret(each: str) -> str:
    number = ord(each)
    return f"^{chr(number ^ 0x40)}" if number < 0x20 or number == 0x7F else _code(each)


def _code(each: str) -> str:
    number = ord(each)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"
