"""The key-value server. What a caller may do is in the badge of the cap that it called with, and nowhere else.

The page `store` holds 64 records of 64 bytes: namespace (0: free), key, length in bytes, four words of value.
"""

import struct

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

from .words import GET, MALFORMED, MAX_TEXT, NOT_FOUND, OK, PUT, REFUSED, may

store: int = 0

RECORD = struct.Struct("<7Q8x")
RECORDS = 64


async def init(pd: PD) -> None:
    pass


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    if msg.label not in (GET, PUT) or len(msg) < 2:
        return Message(MALFORMED)
    namespace, key = msg[0], msg[1]
    if not may(msg.badge, msg.label, namespace):
        return Message(REFUSED)
    if msg.label == GET:
        return await get(pd, namespace, key)
    return await put(pd, namespace, key, msg.words[2:])


async def get(pd: PD, namespace: int, key: int) -> Message:
    _, record = await find(pd, namespace, key)
    return Message(OK, record[2:]) if record[0] else Message(NOT_FOUND)


async def put(pd: PD, namespace: int, key: int, value: tuple[int, ...]) -> Message:
    """The value is as `text_words` makes it: a length, then the bytes."""
    if not 1 <= len(value) <= 1 + MAX_TEXT // 8 or value[0] > 8 * (len(value) - 1):
        return Message(MALFORMED)
    place, _ = await find(pd, namespace, key)
    if place is None:
        return Message(REFUSED)
    padded = (*value, 0, 0, 0, 0, 0)[:5]
    await pd.write(place, RECORD.pack(namespace, key, *padded))
    return Message(OK)


async def find(pd: PD, namespace: int, key: int) -> tuple[int | None, tuple[int, ...]]:
    """Where the record of that key is, and its words; else a free place (None if there is none) and zeros."""
    free = None
    data = await pd.read(store, RECORD.size * RECORDS)
    for index, record in enumerate(RECORD.iter_unpack(data)):
        place = store + index * RECORD.size
        if record[:2] == (namespace, key):
            return place, record
        if not record[0] and free is None:
            free = place
    return free, (0,) * 7
