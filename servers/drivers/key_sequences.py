"""Keys that come as several characters, such as arrows: where such a sequence begins and ends.

ESC [ begins a control sequence: parameters, then intermediate characters (together space to ``?``), then a final one
(``@`` to ``~``). ESC O and a character are one, too, and so are ESC and a character, which is a key together with Alt.
Any other key, such as Enter, cuts a sequence off, and stands for itself.
"""

from typing import Final

from attrs import define

ESCAPE: Final = "\x1b"
CONTROL, SINGLE_SHIFT = f"{ESCAPE}[", f"{ESCAPE}O"
MAX_SEQUENCE: Final = 64
"""Characters of a control sequence without its final one; what comes behind so many stands for itself."""


@define
class KeySequence:
    """Tells keys that stand for themselves from parts of a sequence. ``begun`` is what there is of one."""

    begun: str = ""

    def take(self, key: str) -> str | None:
        """One character; None if it stands for itself, the sequence without its ESC if it ends one, else nothing."""
        before, self.begun = self.begun, ""
        if key == ESCAPE or (before == ESCAPE and key in "[O") or self._continues(before, key):
            self.begun = before * (key != ESCAPE) + key
            return ""
        return (before + key).removeprefix(ESCAPE) if _ends(before, key) else None

    @staticmethod
    def _continues(before: str, key: str) -> bool:
        return before.startswith(CONTROL) and " " <= key <= "?" and len(before) < MAX_SEQUENCE


def _ends(before: str, key: str) -> bool:
    if before.startswith(CONTROL):
        return "@" <= key <= "~"
    return bool(before) and (key.isprintable() if before == ESCAPE else " " <= key <= "~")
