"""What the domains of the fortress say to each other: labels, badges, and text in message words."""

import struct

from capkernel.user.loop import ENDPOINT_BADGE, PD
from capkernel.user.syscalls import Message

# Answers of every server; above the kernel's error codes, so that one can tell who refused
OK, REFUSED, NOT_FOUND, MALFORMED = 0, 32, 33, 34

# Console
WRITE = 1

# Key-value server: (namespace, key) and (namespace, key, up to four words of value)
GET, PUT = 1, 2

# Policy server: (namespace, rights) → a cap to the key-value server; (namespace); and GET, PUT on one's behalf
REQUEST, RELEASE, FETCH, STORE = 1, 2, 3, 4

# Pulse
STOP = 1

NAMESPACES = SHARED, DIARY, VAULT = 1, 2, 3
NAMESPACE_NAMES = {SHARED: "shared", DIARY: "diary", VAULT: "vault"}
READ, READ_WRITE = 1, 3

CONSOLE = 0
"""Everybody's channel to the console."""
OWN_CNODE = 301
"""Where those who arrange their own CNode hold its cap."""
CNODE_DEPTH = 64
MAX_TEXT = 32
"""Bytes of a value."""


def badge_for(namespace: int, rights: int) -> int:
    """The badge of a cap to the key-value server: bit 8 + n to read namespace n, bit 16 + n to write it."""
    can_read, can_write = rights & 1, rights >> 1 & 1
    return ENDPOINT_BADGE | can_read << 8 + namespace | can_write << 16 + namespace


EVERYTHING = ENDPOINT_BADGE | 0xFFFF << 8


def may(badge: int, label: int, namespace: int) -> bool:
    """Whether a badge allows GET or PUT in a namespace."""
    return namespace < 8 and bool(badge >> (8 if label == GET else 16) + namespace & 1)


def key_word(key: str) -> int:
    """A key of up to eight bytes as a word."""
    return int.from_bytes(key.encode()[:8], "little")


def text_words(text: str) -> list[int]:
    """Text as words: its length in bytes, then the bytes."""
    data = text.encode()
    return [len(data), *struct.unpack(f"<{(len(data) + 7) // 8}Q", data.ljust((len(data) + 7) // 8 * 8, b"\0"))]


def words_text(words: list[int] | tuple[int, ...]) -> str:
    """The text in words, as far as it goes."""
    return struct.pack(f"<{len(words) - 1}Q", *words[1:])[: words[0]].decode(errors="replace")


async def say(pd: PD, text: str) -> None:
    """Write a line to the console."""
    await pd.ppcall(CONSOLE, Message(WRITE, text_words(text)))
