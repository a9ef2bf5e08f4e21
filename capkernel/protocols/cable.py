"""A network card as its client uses it: frames out and in, through slots of memory shared with the card.

The driver may die. Whoever starts it anew is somebody else; here it is opened again, with all slots given to it anew.
Frames that were on their way are lost, as frames may be. One that lives and fails every request is complained of.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from capkernel.protocols.failures import Failure, Gone, ServerDied
from capkernel.protocols.link import BATCH, SLOT, Exchanged, Frame, Link, LinkInfo
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read, write

TRIES: Final = 10
"""How often in a row a driver may die, or fail, before it is opened."""
REFUSALS: Final = 10
"""Exchanges in a row that a driver may fail until it is complained of."""
MAC_BYTES: Final = 6
MAX_OUTGOING: Final = 512
"""Frames that wait to be sent; what comes then is lost."""


class CableCut(Exception):
    """The driver dies, or fails, whenever it is opened."""


class Cable:
    """One end of a cable. ``region`` is the memory that the card reaches; half of its slots are for receiving.

    ``complain`` is how one complains of the driver; whether it was started anew for that.
    """

    def __init__(
        self, link: Link, region: SharedRegion, *, complain: Callable[[], Awaitable[bool]] | None = None
    ) -> None:  # fmt: skip
        self.link = link
        self.complain = complain
        self.region = region
        self.slots = region.size // SLOT
        self.outgoing: deque[bytes] = deque()
        self.free: list[int] = []
        """Slots to send from."""
        self.to_provide: list[int] = []
        self.with_card: dict[int, bool] = {}
        """Slots that the card has: whether it receives into them."""
        self.mac = bytes(6)
        self.lost = self.deaths = 0
        self.refusals = 0
        """Exchanges in a row that the driver has refused."""
        self.is_refused = False
        """The driver refused the last exchange; it is not asked again in this turn."""

    async def open(self) -> None:
        """Begin, or begin again: nothing is on its way, and all slots are ours. Raises CableCut."""
        info = await self._opened()
        if info is None and await self._is_heard():
            info = await self._opened()
        if info is None:
            raise CableCut(f"the network driver died, or failed, {TRIES} times in a row")
        self.mac = info.mac
        count = min(self.slots, info.slots)
        self.to_provide = list(range(min(count // 2, info.receives)))
        self.free = list(range(count // 2, count))[: info.sends]
        self.with_card = {}
        self.refusals = 0

    async def _opened(self) -> LinkInfo | None:
        """What the card is, if the driver can be brought to say so."""
        for _ in range(TRIES):
            try:
                info = await self.link.open()
            except (ServerDied, Gone):
                self.deaths += 1
            except Failure:
                continue
            else:
                if len(info.mac) == MAC_BYTES and min(info.slots // 2, info.receives, info.sends) > 0:
                    return info
        return None

    async def _is_heard(self) -> bool:
        return self.complain is not None and await self.complain()

    def send(self, frame: bytes) -> None:
        """Queue a frame."""
        if len(self.outgoing) >= MAX_OUTGOING or len(frame) > SLOT:
            self.lost += 1
        else:
            self.outgoing.append(frame)

    @property
    def has_work(self) -> bool:
        """Whether an exchange would give the card something."""
        return not self.is_refused and (bool(self.outgoing and self.free) or len(self.to_provide) >= BATCH // 2)

    async def exchange(self) -> tuple[list[bytes], bool]:
        """Send what waits, and return frames that arrived; and whether there is more. Raises CableCut."""
        frames: list[Frame] = []
        while self.outgoing and self.free and len(frames) < BATCH:
            frame, slot = self.outgoing.popleft(), self.free.pop()
            await write(self.region.vaddr + slot * SLOT, frame)
            frames.append(Frame(slot, len(frame)))
        provide, self.to_provide = self.to_provide[:BATCH], self.to_provide[BATCH:]
        try:
            done = await self.link.exchange(frames, provide)
        except (ServerDied, Gone):
            self.deaths += 1
            self.lost += len(frames)
            await self.open()
            return [], True
        except Failure:
            # The driver did nothing: what was to be sent is lost, the slots are ours.
            self.lost += len(frames)
            self.is_refused = True
            self.free += [frame.slot for frame in frames]
            self.to_provide += provide
            self.refusals += 1
            if self.refusals % REFUSALS or not await self._is_heard():
                return [], False
            await self.open()
            return [], True
        self.refusals = 0
        self.with_card |= {frame.slot: False for frame in frames} | dict.fromkeys(provide, True)
        return await self._taken(done), done.has_more or len(self.to_provide) >= BATCH

    async def _taken(self, done: Exchanged) -> list[bytes]:
        """Take back what the driver says is ours, if that can be, and read each frame once."""
        for slot in done.sent:
            if self.with_card.get(slot) is False:
                del self.with_card[slot]
                self.free.append(slot)
        arrived = []
        for frame in done.received:
            if self.with_card.get(frame.slot) and 0 < frame.size <= SLOT:
                del self.with_card[frame.slot]
                arrived.append(await read(self.region.vaddr + frame.slot * SLOT, frame.size))
                self.to_provide.append(frame.slot)
        return arrived
