"""capDL text to tokens: words, numbers, symbols, each with its line. Comments: ``--`` to the end, ``/* */`` nested.

Strings and other characters mean something only in the ``fill`` of a frame, which is kept as it is.
"""

import re
from typing import Final, NamedTuple

from capkernel.system.diagnostics import Location, Problems

WORD, NUMBER, SYMBOL, STRING, OTHER, END = "word", "number", "symbol", "string", "other", "end"

_TOKEN: Final = re.compile(
    r"(?P<skip>(?:\s+|--[^\n]*)+)|(?P<open>/\*)"
    r"|(?P<number>0[xX][0-9a-fA-F]+|0[oO][0-7]+|[0-9]+)"
    r"|(?P<word>[A-Za-z](?:[A-Za-z0-9_@]|-(?!-)|\.(?!\.))*)"
    r"|(?P<symbol>\.\.|[{}()\[\],;:=/<>.-])"
    r'|(?P<string>"[^"\n]*")|(?P<other>.)'
)
_COMMENT: Final = re.compile(r"/\*|\*/")
_MAX_DIGITS: Final = 80
"""Longer numbers are too large whatever they are, but for their leading zeros."""
TOO_LARGE: Final = 1 << 256


class Token(NamedTuple):
    """A piece of text; ``value`` is the number that it stands for, ``end`` where in the text it ends."""

    kind: str
    text: str
    file: str
    line: int
    column: int
    end: int
    value: int = 0

    @property
    def where(self) -> Location:
        """Where it stands."""
        return Location(self.file, self.line, self.column)


def tokenize(text: str, file: str, problems: Problems) -> list[Token]:
    """All tokens and an END. A comment that does not end is noted as a problem."""
    tokens: list[Token] = []
    line, start = 1, 0
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None
        kind = str(found.lastgroup)
        end = _comment_end(text, at, Location(file, line, at - start + 1), problems) if kind == "open" else found.end()
        if kind not in ("skip", "open"):
            value = _value(found[0]) if kind == NUMBER else 0
            tokens.append(Token(kind, found[0], file, line, at - start + 1, end, value))
        elif lines := text.count("\n", at, end):
            line, start = line + lines, text.rindex("\n", at, end) + 1
        at = end
    tokens.append(Token(END, "the end of the file", file, text.count("\n") + 1, 1, at))
    return tokens


def _value(text: str) -> int:
    """As the field's own tool reads numbers: 010 is ten, octal is 0o10."""
    based = text[1:2].lower() in ("x", "o")
    digits = (text[2:] if based else text).lstrip("0")
    if len(digits) > _MAX_DIGITS:
        return TOO_LARGE
    return int(text[:2] + (digits or "0"), 0) if based else int(digits or "0")


def _comment_end(text: str, at: int, where: Location, problems: Problems) -> int:
    depth = 0
    for mark in _COMMENT.finditer(text, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    problems.error(where, "a comment that does not end", "*/")
    return len(text)
