"""The name server: each client's own names for caps, and name spaces to be given to others.

The server holds a copy of every cap that is bound, in a slot of a CNode that it was granted for them, and passes copies
on. It could use them, too: who binds a cap trusts it so far. Who binds pays: all names in all name spaces that were
made through one client's caps count towards his quota, so nobody can use up another's places. A cap that comes with a
request that does not want it is deleted (``user.inbox``).

If the description gives it memory and slots that outlive it (``table``, ``lasts``), a client finds his names again when
the server was started anew; otherwise his name space is empty then. Caps to other name spaces answer ``Gone``: who had
one asks again who gave it to him. When the server gives way to another (``state``), they go on leading where they led.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from attrs import frozen

from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import (
    AlreadyExists,
    Gone,
    Malformed,
    NoSpace,
    NotFound,
    NotPermitted,
    TooLarge,
    WrongKind,
)
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.names import MAX_CHOSEN, Name, NameKind, NameSpace, checked_name
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.kept import KeptValue
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.neighbours import Role, Serves, Uses
from servers.system.lasting_slots import LastingSlots
from servers.system.name_table import (
    Account,
    Held,
    Space,
    View,
    Written,
    WrittenEntry,
    read_back,
    slots_of,
    views_read_back,
    views_written,
    written,
)
from servers.system.retiring import Handover, decline

SUPERVISOR, CLIENTS, UPDATE = 1, range(2, 20), 20
"""Channels."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
HELD_CNODE, HELD_SLOTS, HELD_ADDRESS = 302, range(1, 1 << 11), 1 << 58
"""The granted CNode for what is bound: the cap to it, its slots, and the cap address of slot 0."""
MAX_SPACES: Final = 32
"""Caps to name spaces that one client has open."""
LIST_BYTES: Final = 700


class Holder:
    """The slots for caps that are bound, and what becomes of names that nobody can use any more.

    What changes is written down (``kept``; None: it is not): a name after its cap is where it is to be, and its end
    before the cap is deleted. So a cap without a name may be left by a crash; it is deleted when its slot is used.
    """

    def __init__(self, pd: PD, inbox: Inbox, kept: KeptValue[Written] | None) -> None:
        self.pd = pd
        self.inbox = inbox
        self.kept = kept
        self.grounds: dict[int, Space] = {}
        self.slots = LastingSlots(pd.sys, HELD_CNODE, HELD_ADDRESS, HELD_SLOTS)

    @property
    def taken(self) -> set[int]:
        """The slots in which caps are held."""
        return self.slots.taken

    async def load(self) -> None:
        """Find the names of a former life."""
        saved = None if self.kept is None else await self.kept.load()
        if saved is not None:
            self.grounds = read_back(saved)
            self.slots.taken = slots_of(self.grounds)

    async def save(self) -> None:
        """Write all names down. Raises ValueError if there is no room."""
        if self.kept is not None:
            await self.kept.save(written(self.grounds))

    def ground(self, channel: int) -> Space:
        """A client's own name space."""
        if channel not in self.grounds:
            # It counts as used for ever: a client who closes his cap finds his names again.
            self.grounds[channel] = Space(Account(channel), users=1)
        return self.grounds[channel]

    async def hold(self, cap: Cap) -> Held:
        """Put a cap that was received into a slot for it."""
        return Held(await self.slots.take(self.inbox, cap))

    async def show(self, held: Held) -> Cap:
        """The address of a cap that is held. Raises Gone if it was revoked: an empty slot cannot be copied."""
        near = self.inbox.slots
        probe = near.alloc()
        try:
            await stubs.cnode_copy(
                self.pd.sys, near.cnode, dest_index=probe, dest_depth=near.depth, src_root=HELD_CNODE,
                src_index=held.slot, src_depth=WORD_BITS, rights=rt.ALL,
            )  # fmt: skip
        except KernelError:
            near.free(probe)
            raise Gone("the cap was revoked where it came from") from None
        await self.inbox.discard(probe)
        return Cap(self.slots.address(held.slot))

    async def bind(self, space: Space, name: str, found: Held | View) -> None:
        """A name for something. The account was charged. Raises NoSpace; then the name is not there."""
        space.put(name, found)
        try:
            await self.save()
        except ValueError:
            await self.unbind(space, name)
            raise NoSpace("there is no room to write down another name") from None

    async def unbind(self, space: Space, name: str) -> None:
        """Forget a name."""
        found = space.entries.pop(name)
        space.account.names -= 1
        await self.save()
        if isinstance(found, View):
            await self.leave(found.space)
        else:
            found.users -= 1
            if not found.users:
                await self.slots.empty(found.slot)

    async def leave(self, space: Space) -> None:
        """One cap or name less leads to a space."""
        space.users -= 1
        if not space.users:
            for name in list(space.entries):
                await self.unbind(space, name)


class SpaceServant(NameSpace):
    """A name space behind a cap."""

    def __init__(self, holder: Holder, view: View) -> None:
        self.holder = holder
        self.view = view
        view.space.users += 1

    async def bind(self, name: str, cap: Cap) -> None:
        """A name for a cap."""
        try:
            self._charge_for(name)
        except Exception:
            await self.holder.inbox.discard(cap)
            raise
        try:
            held = await self.holder.hold(cap)
        except NoSpace:
            self.view.space.account.names -= 1
            await self.holder.inbox.discard(cap)
            raise
        await self.holder.bind(self.view.space, name, held)

    async def attach(self, name: str, space: NameSpace) -> None:
        """A name for a name space."""
        self._need_writable()
        if not isinstance(space, SpaceServant):
            raise Malformed("this name space is another server's; bind it as a cap")
        if space.view.reaches(self.view.space):
            raise Malformed("a name space cannot be reached through itself")
        self._charge_for(name)
        await self.holder.bind(self.view.space, name, space.view)

    async def lookup(self, name: str) -> Cap:
        """The cap of a name."""
        found = self._find(name)
        if isinstance(found, View):
            raise WrongKind(f"{name} is a name space; enter it")
        return await self.holder.show(found)

    async def enter(self, name: str) -> NameSpace:
        """The name space of a name."""
        found = self._find(name)
        if not isinstance(found, View):
            raise WrongKind(f"{name} is a cap; look it up")
        return SpaceServant(self.holder, found)

    async def names(self, start: int) -> list[Name]:
        """Names."""
        if start < 0:
            raise Malformed(f"names are listed from 0 on, not from {start}")
        room = LIST_BYTES
        found: list[Name] = []
        for name in sorted(self._names())[start:]:
            room -= len(name.encode()) + 40
            if room < 0 and found:
                break
            kind = NameKind.SPACE if isinstance(self.view.space.entries[name], View) else NameKind.CAP
            found.append(Name(name, kind))
        return found

    async def unbind(self, name: str) -> None:
        """Forget a name."""
        self._need_writable()
        self._find(name)
        await self.holder.unbind(self.view.space, name)

    async def fork(self, names: list[str]) -> NameSpace:
        """A new name space with some of the names."""
        found = {name: self._find(name) for name in _chosen(names)}
        account = self.view.space.account
        account.charge(len(found))
        space = Space(account)
        for name, each in found.items():
            space.put(name, each)
        return SpaceServant(self.holder, View(space))

    async def restrict(self, names: list[str], is_writable: bool) -> NameSpace:
        """This one, as far as some names go."""
        chosen = _chosen(names)
        if is_writable:
            self._need_writable()
        hidden = [name for name in chosen if not self.view.shows(name)]
        if hidden:
            raise NotPermitted(f"{hidden[0]!r} does not belong to this name space")
        return SpaceServant(self.holder, View(self.view.space, frozenset(chosen), is_writable))

    async def closed(self) -> None:
        """No cap leads here any more."""
        await self.holder.leave(self.view.space)

    def _charge_for(self, name: str) -> None:
        """A new name. Raises failures."""
        self._need_writable()
        if not self.view.shows(checked_name(name)):
            raise NotPermitted(f"{name!r} does not belong to this name space")
        if name in self.view.space.entries:
            raise AlreadyExists(f"{name!r} is bound already")
        self.view.space.account.charge(1)

    def _find(self, name: str) -> "Held | View":
        if not self.view.shows(checked_name(name)) or name not in self.view.space.entries:
            raise NotFound(f"there is no {name!r}")
        return self.view.space.entries[name]

    def _names(self) -> Iterator[str]:
        return (name for name in self.view.space.entries if self.view.shows(name))

    def _need_writable(self) -> None:
        if not self.view.is_writable:
            raise NotPermitted("this name space is read-only")


def _chosen(names: list[str]) -> list[str]:
    if len(names) > MAX_CHOSEN:
        raise TooLarge(f"at most {MAX_CHOSEN} names are chosen at a time, not {len(names)}")
    return sorted({checked_name(name) for name in names})


@frozen
class KeptNames:
    """For the next program: all name spaces, and the caps to them with what they show."""

    names: Written
    views: list[WrittenEntry]
    caps: list[GivenCap]


def keep_names(holder: Holder, service: Service) -> KeptNames:
    """What is bound and given out."""
    servants, caps = given_caps(service)
    names, views = views_written(holder.grounds, [_view_of(servant) for servant in servants])
    return KeptNames(names, views, caps)


def _view_of(servant: object) -> View:
    if not isinstance(servant, SpaceServant):
        raise TypeError(f"a name server gives out name spaces, no {type(servant).__name__}")
    return servant.view


def restore_names(kept: KeptNames, holder: Holder, service: Service) -> None:
    """Let everything lead where it led. Raises ValueError or a failure if no former life can have written this down."""
    holder.grounds, views = views_read_back(kept.names, kept.views)
    if not set(holder.grounds) <= set(CLIENTS):
        raise ValueError("somebody has names who is no client")
    taken = slots_of(holder.grounds, [view.space for view in views])
    holder.slots.taken = set()
    for slot in taken:
        holder.slots.claim(slot)
    restore_given(service, [SpaceServant(holder, view) for view in views], kept.caps)


class Program:
    """The server. ``table`` is memory for the names; ``state`` is for the server after this one, and whoever gives it
    that gives it slots that last, too.
    """

    uses: ClassVar[Uses] = Uses(
        serves=dict.fromkeys(CLIENTS, Serves(NameSpace)),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        holds=frozenset({ENDPOINT}),
    )
    table: int = 0
    table_size: int = 0x1_0000
    state: int = 0
    state_size: int = 0x1_0000

    def __init__(self) -> None:
        self.holder: Any = None
        self.service: Any = None
        self.handover: Any = None

    async def init(self, pd: PD) -> None:
        """Every client begins with the names that were written down."""
        kept = KeptValue(Written, SharedRegion(self.table, self.table_size)) if self.table else None
        self.holder = Holder(pd, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)), kept)
        await self.holder.load()
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.holder.inbox, limit=MAX_SPACES)
        await self.service.open()
        if self.state:
            self.handover = Handover(pd, KeptNames, SharedRegion(self.state, self.state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(self._take_up)

    async def _take_up(self, kept: KeptNames) -> None:
        restore_names(kept, self.holder, self.service)

    def _root(self, session: int) -> Interface | None:
        return SpaceServant(self.holder, View(self.holder.ground(session))) if session in CLIENTS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        if ch != UPDATE:
            await pd.notify(SUPERVISOR)
        elif self.handover is None:
            await decline(pd, "there is no memory that outlives the names")
        else:
            await self.handover.give_way(keep_names(self.holder, self.service))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
