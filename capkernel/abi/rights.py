"""Rights of a cap, as bits of the CapRights word. Plain ints: they are tested on the hot path."""

from typing import Final

WRITE: Final = 1
READ: Final = 2
GRANT: Final = 4
GRANT_REPLY: Final = 8
ALL: Final = 15
READ_WRITE: Final = READ | WRITE

CALL_GRANTS: Final = GRANT | GRANT_REPLY
"""Either of these on the sending cap lets a call be answered."""


def describe(rights: int) -> str:
    """``RWGP`` in the notation of capDL (P is grant-reply); ``-`` for none."""
    letters = ((READ, "R"), (WRITE, "W"), (GRANT, "G"), (GRANT_REPLY, "P"))
    return "".join(letter for bit, letter in letters if rights & bit) or "-"
