"""The message info word and the layout of the IPC buffer (manual, section 4.2).

Message info: length bits 0-6, extra caps 7-8, caps unwrapped 9-11, label 12-63. The first four message
registers travel in a2..a5; word n >= 4 lies at ``buffer + 8 + 8 * n``.
"""

from typing import Final

MSG_MAX_LENGTH: Final = 120
MSG_MAX_EXTRA_CAPS: Final = 3
N_MSG_REGISTERS: Final = 4
LABEL_BITS: Final = 52
IPC_BUFFER_BITS: Final = 10

BUFFER_MSG: Final = 8
BUFFER_USER_DATA: Final = 968
BUFFER_CAPS: Final = 976
BUFFER_RECEIVE_CNODE: Final = 1000
BUFFER_RECEIVE_INDEX: Final = 1008
BUFFER_RECEIVE_DEPTH: Final = 1016

LABEL_SHIFT: Final = 12
LENGTH_MASK: Final = 127


def message_info(label: int, length: int, extra_caps: int = 0, caps_unwrapped: int = 0) -> int:
    """Pack the fields into the word; a label keeps its low 52 bits."""
    return (label & ((1 << 52) - 1)) << 12 | caps_unwrapped << 9 | extra_caps << 7 | length


def info_label(info: int) -> int:
    """The label field of a message info word."""
    return info >> 12


def info_length(info: int) -> int:
    """The number of message words; more than 120 counts as 120."""
    length = info & 127
    return length if length <= 120 else 120


def info_extra_caps(info: int) -> int:
    """The number of extra caps, 0..3."""
    return info >> 7 & 3


def info_caps_unwrapped(info: int) -> int:
    """The bit mask of the extra caps that arrived as badges."""
    return info >> 9 & 7
