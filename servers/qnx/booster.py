"""The booster: raises a server that works for somebody of lower priority when somebody of higher priority sends.

It holds the server's TCB cap, and does nothing but set its priority, to that of the client whose channel was signalled,
which the description says and the client cannot forge. A client who signals and sends nothing lets the server work at
that client's own priority, at which it could work itself. See ``priority``.
"""

import tomllib
from typing import Any, Final

from capkernel.user.loop import PD
from servers.qnx.priority import ROOT_SHIFT, boost

SERVER_TCB, OWN_TCB = 5, 6
"""Slots of the root CNode."""
TABLE: Final = 0x1000


class Program:
    """The booster. Its table of TOML says of each of its channels, which one the client has at the server, and the
    client's priority: ``[client]``, then lines as ``2 = [3, 150]``.
    """

    boosts: int = 0
    table: int = 0

    def __init__(self) -> None:
        self.clients: dict[int, tuple[int, int]] = {}

    async def init(self, pd: PD) -> None:
        """Read the table."""
        entries: dict[str, Any] = tomllib.loads((await pd.read(self.table, TABLE)).rstrip(b"\0").decode())["client"]
        self.clients = {int(own): (channel, priority) for own, (channel, priority) in entries.items()}

    async def notified(self, pd: PD, ch: int) -> None:
        """A client is about to send."""
        if ch in self.clients:
            channel, priority = self.clients[ch]
            await boost(pd.sys, self.boosts, channel, priority, SERVER_TCB << ROOT_SHIFT, OWN_TCB << ROOT_SHIFT)
