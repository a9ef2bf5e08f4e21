"""A path manager that is supervised: its own death and that of its resource managers leave no path behind."""

from typing import Final

from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.qnx_paths import Place
from capkernel.user.loop import PD
from servers.qnx import path_manager
from servers.qnx.path_manager import CLIENTS, MANAGERS, PathServant

SUPERVISOR: Final = 1
ATTACHED: Final = (2, 3)
"""Channels of those who attach."""


class RenewedPaths(PathServant):
    """As ``PathServant``; who attaches to a path again is in a new life, and the attachment of the old one goes."""

    async def attach(self, path: str, resource: Cap, place: Place, is_directory: bool, is_opaque: bool) -> int:
        """Serve a path, alone."""
        former = [each for each in self.table.attachments if each.owner == self.channel and each.path == path]
        made = await super().attach(path, resource, place, is_directory, is_opaque)
        for each in former:
            await self.detach(each.number)
        return made


class Program(path_manager.Program):
    """The server."""

    async def init(self, pd: PD) -> None:
        """Nothing is attached: let those who serve something say so again."""
        await super().init(pd)
        for channel in ATTACHED:
            await pd.notify(channel)
        await pd.notify(SUPERVISOR)

    def _root(self, session: int) -> Interface | None:
        known = session in MANAGERS or session in CLIENTS
        return RenewedPaths(self.table, self.inbox, session) if known else None

    async def notified(self, pd: PD, ch: int) -> None:
        """A sign of life is wanted."""
        await pd.notify(SUPERVISOR)
