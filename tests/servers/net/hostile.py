"""What the program in ``programs`` sends: a test puts it here, the program takes it away."""

from capkernel.user.syscalls import Message

MESSAGES: list[tuple[int, Message]] = []
"""To the how-manieth of its caps, and what."""
