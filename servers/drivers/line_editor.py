"""Editing a line of keys, without any terminal: which text there is after each key, and when it is over."""

from typing import Final

from attrs import define

from capkernel.protocols.console import END_KEY, INTERRUPT_KEY, MAX_LINE, Ending, Line

ERASE_KEYS: Final = "\b\x7f"
KILL_KEY: Final = "\x15"
ENTER_KEYS: Final = "\n\r"
_ESCAPE: Final = "\x1b"


@define
class LineEditor:
    """A line while it is typed. Keys that mean nothing here, such as the arrows, change nothing."""

    text: str = ""
    is_full: bool = False
    """Whether the last key found no room any more."""
    _escape: str = ""

    def key(self, key: str) -> Line | None:
        """One key; the line, if that ends it."""
        self.is_full = False
        if self._is_escape(key):
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

    def _is_escape(self, key: str) -> bool:
        """Whether a key is part of an escape sequence: ESC and a character, or ESC [ up to a final one, @ to ~."""
        before, self._escape = self._escape, ""
        if before == _ESCAPE:
            self._escape = "[" if key == "[" else ""
        elif before and " " <= key <= "?":
            self._escape = before
        elif key == _ESCAPE:
            self._escape = _ESCAPE
        return key == _ESCAPE or (before == _ESCAPE and key.isprintable()) or (bool(before) and " " <= key <= "~")
