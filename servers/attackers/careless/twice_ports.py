"""A port server that looks whether rights can go along with a message, and then reads once more how they are to go.

What was looked at needs no further look: so whoever changes that in between makes a right to receive of one to send.
"""

from collections.abc import Iterable
from typing import Any

from capkernel.protocols.interface import Operation
from capkernel.protocols.service import Entry
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.attackers.careless.twice import LookingService
from servers.mach import port_server
from servers.mach.port_server import RightServant
from servers.mach.ports import Ports
from servers.mach.rights import Held, Port


class TrustingPorts(Ports):
    """Ports at which rights go along as a message says."""

    def check_parts(self, target: Port, parts: Iterable[tuple[Any, Held]]) -> None:
        """That was looked at."""


class LookingPorts(LookingService):
    """A service that looks at messages before it sends them."""

    def _check(self, entry: Entry, operation: Operation, values: dict[str, Any], msg: Message) -> None:
        if operation.name != "send" or not isinstance(entry.servant, RightServant):
            return
        found = [self.servant(badge) for badge in msg.unwrapped if badge is not None]
        held = [each.held for each in found if isinstance(each, RightServant)]
        parts = list(zip(values["message"].parts, held, strict=False))
        Ports.check_parts(entry.servant.desk.ports, entry.servant.held.port, parts)


class Program(port_server.Program):
    """The server."""

    service_kind = LookingPorts

    async def init(self, pd: PD) -> None:
        """Serve, and trust."""
        await super().init(pd)
        self.desk.ports = TrustingPorts(self.desk.store.give_back)
