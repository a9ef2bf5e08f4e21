"""The name server: each client's own names for caps, and name spaces to be given to others.

The server holds a copy of every cap that is bound, in a slot of a CNode that it was granted for them, and passes copies
on. It could use them, too: who binds a cap trusts it so far. Who binds pays: all names in all name spaces that were
made through one client's caps count towards his quota, so nobody can use up another's places. A cap that comes with a
request that does not want it is deleted (``user.inbox``). What is bound lasts as long as the server's life: when it is
started anew everybody finds his name space empty, and caps to others answer ``Gone``.
"""

from collections.abc import Iterator
from typing import Any, Final

from attrs import define, field, frozen

from capkernel.abi import rights as rt
from capkernel.protocols.failures import (
    AlreadyExists,
    Gone,
    Malformed,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    TooLarge,
    WrongKind,
)
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.names import MAX_CHOSEN, Name, NameKind, NameSpace, checked_name
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

SUPERVISOR, CLIENTS = 1, range(2, 20)
"""Channels."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
HELD_CNODE, HELD_SLOTS, HELD_ADDRESS = 302, range(1, 1 << 11), 1 << 58
"""The granted CNode for what is bound: the cap to it, its slots, and the cap address of slot 0."""
MAX_NAMES: Final = 96
"""Of one client, in all his name spaces."""
MAX_SPACES: Final = 32
"""Caps to name spaces that one client has open."""
LIST_BYTES: Final = 700


@define(eq=False)
class Account:
    """What a client uses."""

    names: int = 0

    def charge(self, count: int) -> None:
        """Use up so much. Raises QuotaExceeded."""
        if self.names + count > MAX_NAMES:
            raise QuotaExceeded(f"{self.names} names are bound already, of {MAX_NAMES}; unbind some")
        self.names += count


@define(eq=False)
class Held:
    """A cap that the server holds, as long as a name leads to it."""

    slot: int
    users: int = 0


@define(eq=False)
class Space:
    """Names, and what they lead to; who pays for them; how many caps and names lead here."""

    account: Account
    entries: "dict[str, Held | View]" = field(factory=dict)
    users: int = 0


@frozen
class View:
    """A space as a cap shows it: all names or some of them, to be changed or not."""

    space: Space
    names: frozenset[str] | None = None
    is_writable: bool = True

    def shows(self, name: str) -> bool:
        """Whether this name belongs to it."""
        return self.names is None or name in self.names

    def reaches(self, space: Space) -> bool:
        """Whether a space can be entered from here."""
        return self.space is space or any(
            isinstance(found, View) and found.reaches(space) for found in self.space.entries.values()
        )


class Holder:
    """The slots for caps that are bound, and what becomes of names that nobody can use any more."""

    def __init__(self, pd: PD, inbox: Inbox) -> None:
        self.pd = pd
        self.inbox = inbox
        self.slots = SlotAllocator(HELD_CNODE, HELD_SLOTS.start, HELD_SLOTS.stop)

    async def hold(self, cap: Cap) -> Held:
        """Put a cap that was received into a slot for it."""
        slot, near = self.slots.alloc(), self.inbox.slots
        await stubs.cnode_move(
            self.pd.sys, self.slots.cnode, dest_index=slot, dest_depth=self.slots.depth, src_root=near.cnode,
            src_index=cap, src_depth=near.depth,
        )  # fmt: skip
        near.free(cap)
        return Held(slot)

    async def show(self, held: Held) -> Cap:
        """The address of a cap that is held. Raises Gone if it was revoked: an empty slot cannot be copied."""
        near = self.inbox.slots
        probe = near.alloc()
        try:
            await stubs.cnode_copy(
                self.pd.sys, near.cnode, dest_index=probe, dest_depth=near.depth, src_root=self.slots.cnode,
                src_index=held.slot, src_depth=self.slots.depth, rights=rt.ALL,
            )  # fmt: skip
        except KernelError:
            near.free(probe)
            raise Gone("the cap was revoked where it came from") from None
        await self.inbox.discard(probe)
        return Cap(HELD_ADDRESS | held.slot)

    async def discard(self, held: Held) -> None:
        """No name leads to a cap any more."""
        await stubs.cnode_delete(self.pd.sys, self.slots.cnode, index=held.slot, depth=self.slots.depth)
        self.slots.free(held.slot)

    async def unbind(self, space: Space, name: str) -> None:
        """Forget a name."""
        found = space.entries.pop(name)
        space.account.names -= 1
        if isinstance(found, View):
            await self.leave(found.space)
        else:
            found.users -= 1
            if not found.users:
                await self.discard(found)

    async def leave(self, space: Space) -> None:
        """One cap or name less leads to a space."""
        space.users -= 1
        if not space.users:
            for name in list(space.entries):
                await self.unbind(space, name)

    def bind(self, space: Space, name: str, found: "Held | View") -> None:
        """A name for something. The account was charged."""
        space.entries[name] = found
        (found.space if isinstance(found, View) else found).users += 1


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
        self.holder.bind(self.view.space, name, await self.holder.hold(cap))

    async def attach(self, name: str, space: NameSpace) -> None:
        """A name for a name space."""
        self._need_writable()
        if not isinstance(space, SpaceServant):
            raise Malformed("this name space is another server's; bind it as a cap")
        if space.view.reaches(self.view.space):
            raise Malformed("a name space cannot be reached through itself")
        self._charge_for(name)
        self.holder.bind(self.view.space, name, space.view)

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
            self.holder.bind(space, name, each)
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


class Program:
    """The server."""

    def __init__(self) -> None:
        self.holder: Any = None
        self.service: Any = None
        self.grounds: dict[int, Space] = {}

    async def init(self, pd: PD) -> None:
        """Every client begins with no names."""
        self.grounds = {}
        self.holder = Holder(pd, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.holder.inbox, limit=MAX_SPACES)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        if session not in CLIENTS:
            return None
        if session not in self.grounds:
            # It counts as used for ever: a client who closes his cap finds his names again.
            self.grounds[session] = Space(Account(), users=1)
        return SpaceServant(self.holder, View(self.grounds[session]))

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
