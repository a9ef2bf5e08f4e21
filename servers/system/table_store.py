"""A supervisor's table in memory that outlives it (``kept``): a supervisor that dies leaves the last one whole."""

from attrs import frozen

from capkernel.protocols.supervision import Event
from capkernel.user.kept import KeptValue
from capkernel.user.messages import SharedRegion
from servers.system.reincarnation import Service, Table


@frozen
class _Saved:
    services: list[Service]
    events: list[Event]
    beats: int


class TableStore:
    """Where the table is kept: ``region`` as this program maps it."""

    def __init__(self, region: SharedRegion) -> None:
        self._kept = KeptValue(_Saved, region)

    async def load(self) -> Table | None:
        """The table that was saved last, or None if there is none that can be read."""
        saved = await self._kept.load()
        if saved is None:
            return None
        return Table({service.label: service for service in saved.services}, saved.events, saved.beats)

    async def save(self, table: Table) -> None:
        """Keep the table. Raises ValueError if it does not fit."""
        await self._kept.save(_Saved(list(table.services.values()), table.events, table.beats))
