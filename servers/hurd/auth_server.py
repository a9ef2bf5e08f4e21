"""The auth server: who holds a cap to it has an identity, and can prove it to whoever trusts the same auth server.

Who has which identity from the start says the table ``identities`` (TOML): for each channel its ids.

    [[identity]]
    channel = 2
    uids = [1000]
    gids = [100]
"""

import tomllib
from typing import Any, Final

from capkernel.protocols.failures import Failure
from capkernel.protocols.hurd_auth import Ids, checked_ids
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import MAX_CHANNELS, PD
from capkernel.user.syscalls import Message
from servers.hurd.identities import Identity

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
MAX_OBJECTS: Final = 16
"""Identities, rendezvous and so on that one client may have at a time: for each at most one slot is taken."""


class IdentityError(ValueError):
    """The table says what cannot be; says where."""


def read_identities(text: str) -> dict[int, Ids]:
    """The ids by channel. Raises IdentityError."""
    try:
        rows = tomllib.loads(text).get("identity", [])
        found = {row["channel"]: checked_ids(Ids(tuple(row["uids"]), tuple(row["gids"]))) for row in rows}
    except (tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError, Failure) as error:
        raise IdentityError(f"each identity says channel, uids and gids: {error!r}") from None
    if any(type(channel) is not int or not 0 <= channel < MAX_CHANNELS for channel in found):
        raise IdentityError(f"channels are 0 to {MAX_CHANNELS - 1}")
    return found


class Program:
    """The server."""

    identities: int = 0
    identities_size: int = 0x1000

    def __init__(self) -> None:
        self.service: Any = None
        self.known: dict[int, Ids] = {}
        self.inbox: Any = None

    async def init(self, pd: PD) -> None:
        """Read who is who, and serve."""
        self.known = read_identities((await pd.read(self.identities, self.identities_size)).rstrip(b"\0").decode())
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.inbox, limit=MAX_OBJECTS)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        return Identity(self.inbox, self.known[session]) if session in self.known else None

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
