"""A supervisor's table in memory that outlives it (``kept``): a supervisor that dies leaves the last one whole."""

import struct

from attrs import frozen

from capkernel.protocols.supervision import Event
from capkernel.user.codec import MessageError
from capkernel.user.messages import SharedRegion, from_words, to_words
from servers.system.kept import Kept
from servers.system.reincarnation import Service, Table


@frozen
class _Saved:
    services: list[Service]
    events: list[Event]
    beats: int


class TableStore:
    """Where the table is kept: ``region`` as this program maps it."""

    def __init__(self, region: SharedRegion) -> None:
        self._kept = Kept(region)

    async def load(self) -> Table | None:
        """The table that was saved last, or None if there is none that can be read."""
        data = await self._kept.load()
        if data is None or len(data) % 8:
            return None
        try:
            saved = from_words(_Saved, struct.unpack(f"<{len(data) // 8}Q", data))
        except MessageError:
            return None
        return Table({service.label: service for service in saved.services}, saved.events, saved.beats)

    async def save(self, table: Table) -> None:
        """Keep the table. Raises ValueError if it does not fit."""
        words = to_words(_Saved(list(table.services.values()), table.events, table.beats))
        await self._kept.save(struct.pack(f"<{len(words)}Q", *words))
