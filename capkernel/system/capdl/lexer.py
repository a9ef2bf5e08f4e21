"""capDL text to tokens: words, numbers, symbols, each with its line. Comments: ``--`` to the end, ``/* */`` nested."""

import re
from typing import Final

from attrs import frozen

from capkernel.system.diagnostics import Location, Problems

WORD, NUMBER, SYMBOL, FILL, END = "word", "number", "symbol", "fill", "end"

_TOKEN: Final = re.compile(
    r"(?P<space>\s+)|(?P<line>--[^\n]*)|(?P<open>/\*)"
    r"|(?P<number>0[xX][0-9a-fA-F]+|0[oO][0-7]+|[0-9]+)"
    r"|(?P<word>[A-Za-z](?:[A-Za-z0-9_@]|-(?!-)|\.(?!\.))*)"
    r"|(?P<symbol>\.\.|[{}()\[\],;:=/<>.-])"
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
    """All tokens and an END. What is none is noted as a problem and left out."""
    tokens: list[Token] = []
    at = 0
    line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
    line = 0
    while at < len(text):
        while line + 1 < len(line_starts) and line_starts[line + 1] <= at:
            line += 1
        where = Location(file, line + 1, at - line_starts[line] + 1)
        found = _TOKEN.match(text, at)
        if found is None:
            problems.error(where, f"unexpected character {text[at]!r}", "a name, a number or punctuation")
            at += 1
        elif found.lastgroup == "open":
            at = _comment_end(text, at, where, problems)
        else:
            at = found.end()
            if found.lastgroup in (WORD, NUMBER, SYMBOL):
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
