"""A name server that does not keep those who were given a name space to read from changing it."""

from capkernel.protocols.interface import Interface
from capkernel.protocols.names import NameSpace
from servers.system import name_server
from servers.system.name_server import CLIENTS, SpaceServant
from servers.system.name_table import View


class TrustingServant(SpaceServant):
    """A name space."""

    async def restrict(self, names: list[str], is_writable: bool) -> NameSpace:
        """As far as some names go; that it is to be read only is said to nobody."""
        return await super().restrict(names, True)


class Program(name_server.Program):
    """The server."""

    def _root(self, session: int) -> Interface | None:
        return TrustingServant(self.holder, View(self.holder.ground(session))) if session in CLIENTS else None
