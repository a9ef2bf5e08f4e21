"""The auth server: who holds a cap to it has an identity, and can prove it to whoever trusts the same auth server.

Who has which identity, how far each rendezvous has come and what was left for it is written down before any answer goes
out (``auth_record``); what was left lies in slots that outlive this server. So its next life goes on where it was.

Who has which identity from the start says the table ``identities`` (TOML): for each channel its ids.

    [[identity]]
    channel = 2
    uids = [1000]
    gids = [100]
"""

import tomllib
from collections.abc import Mapping
from typing import Any, Final

from capkernel.protocols.failures import Failure
from capkernel.protocols.hurd_auth import Ids, checked_ids
from capkernel.protocols.interface import Interface
from capkernel.protocols.lasting import Lockers, Slots
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.kept import KeptValue
from capkernel.user.loop import MAX_CHANNELS, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.hurd.auth_record import Kept, restored, written
from servers.hurd.identities import Identity

SUPERVISOR = 1
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
KEPT_SLOTS: Final = Slots(cnode=302, address=1 << 58, count=256)
"""The granted CNode for what servers leave: in slot 302, at 1."""
MAX_OBJECTS: Final = 16
"""Identities, rendezvous and so on that one client may have at a time: for each at most one slot is taken."""
MAX_CLIENTS: Final = 12
"""All that they may have finds room in the slots, and in the record."""


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
    if len(found) > MAX_CLIENTS:
        raise IdentityError(f"there are {len(found)} clients; this server has room for {MAX_CLIENTS}")
    return found


class Registry:
    """The server's objects, and their record in memory that lasts. ``known`` are the ids by channel."""

    def __init__(self, pd: PD, lockers: Lockers, region: SharedRegion, known: Mapping[int, Ids]) -> None:
        self.lockers = lockers
        self.known = known
        self.service = Service(
            pd, roots=self._root, endpoint=ENDPOINT, inbox=lockers.inbox, limit=MAX_OBJECTS, settle=self.settle
        )
        self._record = KeptValue(Kept, region)
        self._last: Kept | None = None

    async def open(self) -> None:
        """Go on where a former life was."""
        found = self._last = await self._record.load()
        if found is not None:
            restored(found, self.service, self.lockers)
        await self.lockers.open(found.left if found is not None else ())
        await self.service.open()

    async def settle(self) -> None:
        """Write down what has changed; then let go what nobody will collect."""
        now = written(self.service)
        if now != self._last:
            await self._record.save(now)
            self._last = now
        await self.lockers.settle(now.left)

    def _root(self, session: int) -> Interface | None:
        return Identity(self.lockers, self.known[session]) if session in self.known else None


class Program:
    """The server. ``record`` is memory that lasts."""

    identities: int = 0
    identities_size: int = 0x1000
    record: int = 0
    record_size: int = 0x2_0000

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Read who is who, and serve."""
        known = read_identities((await pd.read(self.identities, self.identities_size)).rstrip(b"\0").decode())
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        registry = Registry(pd, Lockers(inbox, KEPT_SLOTS), SharedRegion(self.record, self.record_size), known)
        await registry.open()
        self.service = registry.service

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
