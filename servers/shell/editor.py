"""Editing a line key by key: cursor, history, completion. Knows nothing of consoles: keys in, a picture out."""

import unicodedata
from collections.abc import Sequence
from enum import Enum

from attrs import define, field

from servers.drivers.key_sequences import KeySequence


class Outcome(Enum):
    """What a key did to the line."""

    EDITED = "edited"
    ENTERED = "entered"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    ENDED = "ended"


_SEQUENCES = {"[A": "up", "[B": "down", "[C": "right", "[D": "left", "[H": "home", "[F": "end", "[3~": "delete"}
SPECIAL = " '\"\\#"
"""Characters for which a name is put into quotation marks."""
MAX_HISTORY = 200
COLUMNS = 79
"""Of a terminal, whose width nobody tells: a serial line has no such message."""


def _columns(character: str) -> int:
    """How many columns of a terminal a character takes."""
    return 0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1


@define
class Editor:
    """A line that is being typed. ``history`` is what was entered before, the oldest first."""

    prompt: str = ""
    text: str = ""
    cursor: int = 0
    history: list[str] = field(factory=list)
    _place: int = 0
    _kept: str = ""
    _sequence: KeySequence = field(factory=KeySequence)

    def begin(self, prompt: str) -> None:
        """Start a new line."""
        self.prompt, self.text, self.cursor = prompt, "", 0
        self._place, self._kept, self._sequence = len(self.history), "", KeySequence()

    def picture(self) -> str:
        """What to put out so that the terminal shows the line as it is now; of a long one, a part with the cursor."""
        room = COLUMNS - sum(map(_columns, self.prompt))
        start = end = self.cursor
        while start and room >= _columns(self.text[start - 1]):
            start -= 1
            room -= _columns(self.text[start])
        while end < len(self.text) and room >= _columns(self.text[end]):
            room -= _columns(self.text[end])
            end += 1
        back = sum(map(_columns, self.text[self.cursor : end]))
        return f"\r\x1b[K{self.prompt}{self.text[start:end]}" + (f"\x1b[{back}D" if back else "")

    def entered(self) -> str:
        """The line, which now belongs to the history."""
        if self.text.strip() and self.history[-1:] != [self.text]:
            self.history.append(self.text)
            del self.history[:-MAX_HISTORY]
        return self.text

    def key(self, key: str) -> Outcome:
        """One character as it comes from the terminal; arrows come as several."""
        sequence = self._sequence.take(key)
        if sequence is not None:
            self._move(sequence)
            return Outcome.EDITED
        match key:
            case "\r" | "\n":
                return Outcome.ENTERED
            case "\x03":
                return Outcome.INTERRUPTED
            case "\x04" if not self.text:
                return Outcome.ENDED
            case "\t":
                return Outcome.COMPLETE
            case _:
                self._edit(key)
        return Outcome.EDITED

    def insert(self, text: str) -> None:
        """Put text in at the cursor."""
        self.text = self.text[: self.cursor] + text + self.text[self.cursor :]
        self.cursor += len(text)

    def complete(self, choices: Sequence[str]) -> list[str]:
        """Go on with the word at the cursor as far as the choices agree; returns those that remain, if many."""
        start, typed = self._argument()
        path = typed.rpartition("=")[2]
        word = path.rpartition("/")[2]
        fitting = sorted(choice for choice in choices if choice.startswith(word))
        if not fitting:
            return []
        common = fitting[0]
        for choice in fitting[1:]:
            while not choice.startswith(common):
                common = common[:-1]
        is_done = len(fitting) == 1 and not common.endswith("/")
        whole = path + common[len(word) :]
        if any(each in SPECIAL for each in whole) or self.text[start : self.cursor] != typed:
            # A quotation mark stays open as long as something may follow.
            mark = '"' if "'" in whole else "'"
            self._cut(start, self.cursor)
            self.insert(typed.removesuffix(path) + mark + whole + mark * is_done + " " * is_done)
        else:
            self.insert(common[len(word) :] + " " * is_done)
        return fitting if len(fitting) > 1 else []

    def words(self) -> list[str]:
        """The words up to the cursor, without quotation marks; the last is the one that is being typed."""
        found, rest = [], self.text[: self.cursor].lstrip(" ")
        while (parted := _first_word(rest)) is not None:
            found.append(_bare(parted[0]))
            rest = parted[1]
        return [*found, _bare(rest)]

    def _argument(self) -> tuple[int, str]:
        """Where the word at the cursor begins, and what it says so far."""
        rest = self.text[: self.cursor].lstrip(" ")
        while (parted := _first_word(rest)) is not None:
            rest = parted[1]
        return self.cursor - len(rest), _bare(rest)

    def _edit(self, key: str) -> None:
        if key in ("\x7f", "\b"):
            if self.cursor:
                self._cut(self.cursor - 1, self.cursor)
        elif key == "\x15":
            self._cut(0, self.cursor)
        elif key == "\x0b":
            self._cut(self.cursor, len(self.text))
        elif key == "\x17":
            self._cut(self.text[: self.cursor].rstrip().rfind(" ") + 1, self.cursor)
        elif key in ("\x01", "\x05"):
            self.cursor = 0 if key == "\x01" else len(self.text)
        elif key.isprintable():
            self.insert(key)

    def _cut(self, start: int, end: int) -> None:
        self.text, self.cursor = self.text[:start] + self.text[end:], start

    def _move(self, sequence: str) -> None:
        match move := _SEQUENCES.get(sequence.replace("O", "[", 1)):
            case "up" | "down":
                self._recall(-1 if move == "up" else 1)
            case "left" | "right":
                self.cursor = min(max(self.cursor + (1 if move == "right" else -1), 0), len(self.text))
            case "home" | "end":
                self.cursor = 0 if move == "home" else len(self.text)
            case "delete":
                self._cut(self.cursor, min(self.cursor + 1, len(self.text)))

    def _recall(self, step: int) -> None:
        """A line of before, or the one that was being typed."""
        if self._place == len(self.history):
            self._kept = self.text
        self._place = min(max(self._place + step, 0), len(self.history))
        self.text = self._kept if self._place == len(self.history) else self.history[self._place]
        self.cursor = len(self.text)


def _first_word(text: str) -> tuple[str, str] | None:
    """What comes before the first blank that is not quoted, and behind that and those after it; None without one."""
    mark = ""
    for place, each in enumerate(text):
        if each == mark:
            mark = ""
        elif not mark and each in "'\"":
            mark = each
        elif not mark and each == " ":
            return text[:place], text[place:].lstrip(" ")
    return None


def _bare(word: str) -> str:
    """Without the quotation marks."""
    mark, found = "", ""
    for each in word:
        if each == mark or (not mark and each in "'\""):
            mark = "" if each == mark else each
        else:
            found += each
    return found
