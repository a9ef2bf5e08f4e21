"""capDL text to tokens: words, numbers, symbols, each with its line. Comments: ``--`` to the end, ``/* */`` nested.

Strings and other characters mean something only in the ``fill`` of a frame, which is kept as it is.
"""

import re
from typing import Final

from attrs import frozen

from capkernel.system.diagnostics import Location, Problems

WORD, NUMBER, SYMBOL, STRING, OTHER, END = "word", "number", "symbol", "string", "other", "end"

_TOKEN: Final = re.compile(
    r"(?P<space>\s+)|(?P<line>--[^\n]*)|(?P<open>/\*)"
    r"|(?P<number>0[xX][0-9a-fA-F]+|0[oO][0-7]+|[0-9]+)"
    r"|(?P<word>[A-Za-z](?:[A-Za-z0-9_@]|-(?!-)|\.(?!\.))*)"
    r"|(?P<symbol>\.\.|[{}()\[\],;:=/<>.-])"
    r'|(?P<string>"[^"\n]*")|(?P<other>.)'
)
_COMMENT: Final = re.compile(r"/\*|\*/")


@frozen
class Token:
    """A piece of text; ``value`` is the number that it stands for."""

    kind: str
    text: str
    where: Location
    value: int = 0
    end: int = 0
    """Where in the text it ends."""


def tokenize(text: str, file: str, problems: Problems) -> list[Token]:
    """All tokens and an END. A comment that does not end is noted as a problem."""
    tokens: list[Token] = []
    at = 0
    line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
    line = 0
    while at < len(text):
        while line + 1 < len(line_starts) and line_starts[line + 1] <= at:
            line += 1
        where = Location(file, line + 1, at - line_starts[line] + 1)
        found = _TOKEN.match(text, at)
        assert found is not None
        if found.lastgroup == "open":
            at = _comment_end(text, at, where, problems)
        else:
            at = found.end()
            if found.lastgroup not in ("space", "line"):
                tokens.append(_token(str(found.lastgroup), found[0], where, at))
    tokens.append(Token(END, "the end of the file", Location(file, len(line_starts), 1), end=at))
    return tokens


def _token(kind: str, text: str, where: Location, end: int) -> Token:
    if kind != NUMBER:
        return Token(kind, text, where, end=end)
    # As the field's own tool reads them: 010 is ten, octal is 0o10.
    return Token(kind, text, where, int(text, 0 if text[1:2].lower() in ("x", "o") else 10), end)


def _comment_end(text: str, at: int, where: Location, problems: Problems) -> int:
    depth = 0
    for mark in _COMMENT.finditer(text, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    problems.error(where, "a comment that does not end", "*/")
    return len(text)
