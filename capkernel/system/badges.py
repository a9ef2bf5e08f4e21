"""What the badge of a message tells a protection domain, as in Microkit: a call, a fault, or signals."""

from typing import Final

ENDPOINT_BADGE: Final = 1 << 63
"""A protected call, on the channel in ``CHANNEL_MASK``."""
FAULT_BADGE: Final = 1 << 62
"""A fault, of the child in ``CHILD_MASK``. With neither bit, each bit is a channel that was signalled."""
CHANNEL_MASK: Final = 0x3F
CHILD_MASK: Final = 0xFF


def meaning(badge: int) -> str:
    """What a domain takes a message on its endpoint with this badge for; nothing if it is no message of Microkit's."""
    if badge & FAULT_BADGE:
        return f"a fault of child {badge & CHILD_MASK}"
    return f"a call on channel {badge & CHANNEL_MASK}" if badge & ENDPOINT_BADGE else ""
