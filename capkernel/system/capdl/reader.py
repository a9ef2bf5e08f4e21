"""Going through tokens, and saying what was expected instead."""

from capkernel.system.capdl.lexer import NUMBER, SYMBOL, WORD, Token
from capkernel.system.diagnostics import DescriptionError, Diagnostic

MAX_WORD = (1 << 64) - 1
MAX_DEPTH = 100
"""Blocks inside blocks."""


class Reader:
    """Tokens with a position. All its methods but ``accept`` raise DescriptionError."""

    def __init__(self, tokens: list[Token], text: str) -> None:
        self.tokens = tokens
        self.text = text
        self.at = 0
        self.depth = 0

    @property
    def peek(self) -> Token:
        """The next token."""
        return self.tokens[self.at]

    def next(self) -> Token:
        """Take the next token; the end stays."""
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def wrong(self, token: Token, message: str, expected: str) -> DescriptionError:
        """The error to raise."""
        return DescriptionError([Diagnostic(token.where, message, f"expected {expected}")])

    def accept(self, text: str) -> bool:
        """Take a symbol if it is the next token."""
        if self.peek.kind == SYMBOL and self.peek.text == text:
            self.next()
            return True
        return False

    def symbol(self, text: str) -> None:
        """Take this symbol."""
        if not self.accept(text):
            raise self.wrong(self.peek, f"unexpected {self.peek.text!r}", repr(text))

    def word(self, text: str) -> None:
        """Take this word."""
        if self.peek.kind != WORD or self.peek.text != text:
            raise self.wrong(self.peek, f"unexpected {self.peek.text!r}", repr(text))
        self.next()

    def any_word(self, expected: str) -> Token:
        """Take any word."""
        if self.peek.kind != WORD:
            raise self.wrong(self.peek, f"unexpected {self.peek.text!r}", expected)
        return self.next()

    def number(self, expected: str) -> int:
        """Take a number; it must fit into a word."""
        if self.peek.kind != NUMBER:
            raise self.wrong(self.peek, f"unexpected {self.peek.text!r}", expected)
        return self.value(self.next())

    def value(self, token: Token) -> int:
        """What a number says; it must fit into a word."""
        if token.value > MAX_WORD:
            raise self.wrong(token, f"{token.text[:80]} is too large", "at most 64 bits")
        return token.value

    def deeper(self) -> None:
        """Take the brace that begins a block; there is a limit to blocks in blocks."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.wrong(self.peek, f"more than {MAX_DEPTH} blocks inside each other", "the inner ones apart")
        self.symbol("{")

    def truth(self) -> bool:
        """Take True or False."""
        token = self.any_word("True or False")
        if token.text not in ("True", "False"):
            raise self.wrong(token, f"unexpected {token.text!r}", "True or False")
        return token.text == "True"
