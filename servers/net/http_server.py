"""A web server on h11 (RFC 9112): gives out what is below a directory, to several browsers at a time.

It holds a cap to listen on one port and a read-only cap to a directory, and nothing else. It never waits for a browser:
each connection signals a bit of its own in the server's notification when there is something new, and reading and
writing never wait. Only the file server it waits for. If the network server dies, its connections are over; it looks
from time to time whether its listener is still there, and listens again.

With memory that outlives it (``state``) it can give way to another program: connections stay, what was begun to be
answered is answered to its end, and what a browser has said is heard once (``http_handover``).

GET and HEAD; ``index.html`` or a list for a directory; one byte range; connections are kept. A request with a header of
more than 8 KiB is refused, a connection on which nothing moves for ten seconds is closed.
"""

from typing import Any, ClassVar, Final

from attrs import evolve

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import Failure, Gone, QuotaExceeded, ServerDied, TimedOut
from capkernel.protocols.files import Directory
from capkernel.protocols.network import Listener, Stream
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from servers.neighbours import Asks, Role, Uses, neighbour
from servers.net.closing import let_go
from servers.net.http_connection import HttpConnection, Progress
from servers.net.http_handover import Keeper, KeptWeb
from servers.net.lasting_inbox import LastingInbox
from servers.net.pages import Pages
from servers.system.lasting_slots import LastingSlots
from servers.system.retiring import Handover, decline

network_region: int = 0
network_region_size: int = 0x1_0000
files_region: int = 0
files_region_size: int = 0x1_0000
state: int = 0
state_size: int = 0x10_0000
"""Memory for the server after this one; who gives it that gives it slots that last, too."""

NETWORK, FILES, METRONOME, SUPERVISOR, UPDATE, LISTENING, FIRST_STREAM = 0, 1, 2, 3, 4, 10, 11
"""Channels; the last two and those after them are bits of our own notification."""
STREAMS: Final = 15
NOTIFICATION, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 310, 500
"""Caps: to our own notification, without a badge; to our own CNode; and slots."""
HELD_CNODE, HELD_ADDRESS, HELD_SLOTS = 320, 1 << 58, range(1, 1 << 10)
"""The granted CNode that lasts, for connections and what is open for them: the cap to it, the address of slot 0, slots.
"""
LOOK_BEATS: Final = 20
"""Beats after which it looks again whether the network server is still in the same life."""
PATIENCE_BEATS, CROWDED_BEATS = 1000, 50
"""Beats of the metronome during which nothing may move on a connection: usually, and when others wait for its place."""
TURN: Final = 4
"""Pieces of a page that one connection is sent until the others have their turn."""


class Program:
    """The server."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + NETWORK: Asks(Listener), BASE_ENDPOINT_CAP + FILES: Asks(Directory)},
        signals={METRONOME: Role.METRONOME, SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        required=frozenset({METRONOME}),
        shares=frozenset({"network_region", "files_region"}),
    )

    def __init__(self) -> None:
        self.inbox: Any = None
        self.listener: Any = None
        self.watched: Any = None
        """The listener by a cap that ends with the network server's life."""
        self.pages: Any = None
        self.keeper: Any = None
        self.handover: Any = None
        self.connections: dict[int, HttpConnection] = {}
        self.ready: list[int] = []
        self.beats = 0
        self.is_open = True
        self.is_crowded = False
        """Whether somebody may wait outside for whom there was no place."""

    async def init(self, pd: PD) -> None:
        """Listen, or go on where another program was."""
        slots = SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)
        lasting = LastingSlots(pd.sys, HELD_CNODE, HELD_ADDRESS, HELD_SLOTS)
        self.inbox = LastingInbox(pd.sys, slots, lasting) if state else Inbox(pd.sys, slots)
        network = Connection(pd.sys, self.inbox, SharedRegion(network_region, network_region_size))
        files = Connection(pd.sys, self.inbox, SharedRegion(files_region, files_region_size))
        self.listener = neighbour(Listener, pd, network, BASE_ENDPOINT_CAP + NETWORK)
        self.pages = Pages(neighbour(Directory, pd, files, BASE_ENDPOINT_CAP + FILES))
        if state:
            self.keeper = Keeper(network, files, self.pages, lasting)
            self.handover = Handover(pd, KeptWeb, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            if await self.handover.go_on(self._take_up):
                await self._accept(pd)
                await self._serve(pd)
                return
        await self._look_after(pd)

    async def _take_up(self, kept: KeptWeb) -> None:
        await self.inbox.open()
        self.is_open, self.is_crowded = kept.is_open, kept.is_crowded
        self.watched = self.keeper.listener(kept.watched) if kept.watched else None
        self.connections = self.keeper.connections(kept, range(STREAMS))
        self.ready = list(self.connections)

    async def _give_way(self, pd: PD) -> None:
        if self.handover is None:
            await decline(pd, "there is no memory that outlives what browsers have been sent")
        else:
            kept = self.keeper.keep(self.connections, self.watched, self.beats)
            await self.handover.give_way(evolve(kept, is_open=self.is_open, is_crowded=self.is_crowded))

    async def _listen(self, pd: PD) -> None:
        """Begin to listen; what was open before, in a former life of this program or the other, is of no use."""
        if self.watched is not None:
            await let_go(self.watched)
            self.watched = None
        self.ready.clear()
        for place in list(self.connections):
            await self._close(place)
        await self.listener.revoke()
        # A channel's cap cannot hand over caps, as to our notification; one that is derived from it can.
        self.watched = await self.listener.derive()
        await self._watch(pd, self.watched, LISTENING)

    async def _look_after(self, pd: PD) -> None:
        """Listen again if the network server is in another life than before."""
        try:
            if self.watched is not None:
                await self.watched.port()
                return
        except ServerDied:
            return
        except Gone:
            pass
        try:
            await self._listen(pd)
        except ServerDied:
            return
        except Gone:
            await self._taken_away(pd)

    async def _taken_away(self, pd: PD) -> None:
        await pd.print(f"{pd.name}: the port was taken away\n")
        self.is_crowded = self.is_open = False

    async def _watch(self, pd: PD, what: Any, channel: int) -> None:
        """Have something signal one of our channels; the cap for it is ours only as long as it is being sent."""
        async with self.inbox.lent_signal(NOTIFICATION, channel) as signal:
            await what.watch(signal)

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat; or connections wait; or there is something new on a connection."""
        if ch == METRONOME:
            self.beats += 1
            await self._close_silent(pd)
            if self.is_open and self.beats % LOOK_BEATS == 0:
                await self._look_after(pd)
        elif ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
        elif ch == UPDATE:
            await self._give_way(pd)
        elif ch == LISTENING:
            await self._accept(pd)
        elif ch - FIRST_STREAM in self.connections and ch - FIRST_STREAM not in self.ready:
            self.ready.append(ch - FIRST_STREAM)
        await self._serve(pd)

    async def _accept(self, pd: PD) -> None:
        """Take all connections for which there is room; the others wait outside until one is closed."""
        self.is_crowded = self.is_open
        while self.is_open and len(self.connections) < STREAMS:
            try:
                stream: Stream = await self.listener.accept(0)
            except QuotaExceeded:
                # What was closed counts until its browser knows of it: with the next beat, again.
                return
            except (TimedOut, ServerDied):
                self.is_crowded = False
                return
            except Gone:
                await self._taken_away(pd)
                return
            place = next(place for place in range(STREAMS) if place not in self.connections)
            self.connections[place] = HttpConnection(stream, self.pages, self.beats)
            try:
                await self._watch(pd, stream, FIRST_STREAM + place)
            except Failure:
                await self._close(place)

    async def _serve(self, pd: PD) -> None:
        """Let each connection go on that has news, a few pieces at a time, until all wait for their browsers."""
        while self.ready:
            place = self.ready.pop(0)
            connection = self.connections.get(place)
            if connection is None:
                continue
            progress = await connection.go_on(TURN)
            if progress is not Progress.NONE:
                connection.moved_at = self.beats
            if progress is Progress.ENDED:
                await self._close(place)
                await self._accept(pd)
            elif progress is Progress.MORE:
                self.ready.append(place)

    async def _close_silent(self, pd: PD) -> None:
        """Close connections on which nothing moves; when it is crowded, the one that has been silent longest."""
        silent = sorted(self.connections, key=lambda place: self.connections[place].moved_at)
        late = [place for place in silent if self.beats - self.connections[place].moved_at > PATIENCE_BEATS]
        if self.is_crowded and not late:
            late = [place for place in silent[:1] if self.beats - self.connections[place].moved_at > CROWDED_BEATS]
        for place in late:
            await self._close(place)
        if late or (self.is_crowded and len(self.connections) < STREAMS):
            await self._accept(pd)

    async def _close(self, place: int) -> None:
        await self.connections.pop(place).close()
