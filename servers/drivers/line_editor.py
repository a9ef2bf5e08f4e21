"""Editing a line of keys, without any terminal: which text there is after each key, and when it is over."""

from typing import Final

from attrs import define, field

from capkernel.protocols.console import END_KEY, INTERRUPT_KEY, MAX_LINE, Ending, Line
from servers.drivers.key_sequences import KeySequence

ERASE_KEYS: Final = "\b\x7f"
KILL_KEY: Final = "\x15"
ENTER_KEYS: Final = "\n\r"


@define
class LineEditor:
    """A line while it is typed. Keys that mean nothing here, such as the arrows, change nothing."""

    text: str = ""
    is_full: bool = False
    """Whether the last key found no room any more."""
    _sequence: KeySequence = field(factory=KeySequence)

    @property
    def typed(self) -> str:
        """Keys that lead to where it is now, also in the middle of an arrow."""
        return self.text + self._sequence.begun

    def key(self, key: str) -> Line | None:
        """One key; the line, if that ends it."""
        self.is_full = False
        if self._sequence.take(key) is not None:
            return None
        if key in ENTER_KEYS:
            return Line(Ending.ENTERED, self.text)
        if key == INTERRUPT_KEY:
            return Line(Ending.INTERRUPTED, "")
        if key == END_KEY and not self.text:
            return Line(Ending.END_OF_INPUT, "")
        if key in ERASE_KEYS:
            self.text = self.text[:-1]
        elif key == KILL_KEY:
            self.text = ""
        elif key.isprintable() and len((self.text + key).encode()) <= MAX_LINE:
            self.text += key
        elif key.isprintable():
            self.is_full = True
        return None
