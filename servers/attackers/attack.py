"""The tricks that can be tried on any server, made from the definition of what it understands.

Nothing here says what a server is for. What is wrong with a request is known beforehand, so each answer can be judged:
a failure of a kind that is known is right, a result of what must not be carried out is a way in, and so is an answer by
the kernel in the server's place, as it comes when the server died.
"""

from collections.abc import Awaitable, Mapping
from random import Random
from typing import Any, Final, TypeVar

from attrs import field, frozen

from capkernel.abi import rights as rt
from capkernel.protocols.attacks import Trick
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import FIRST_LABEL, QuotaExceeded
from capkernel.protocols.interface import DERIVE, REVOKE, Interface, operations_of
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import ENDPOINT_BADGE, INPUT_CAP, PD, REPLY_CAP
from capkernel.user.messages import SPILLED, label_of, to_words
from capkernel.user.syscalls import Message
from servers.attackers.ledger import Ledger
from servers.attackers.requests import malformed, odd, request_of

I = TypeVar("I", bound=Interface)  # noqa: E741

OWN_ENDPOINT, OWN_CNODE, FIRST_TARGET, FIRST_SLOT, END_SLOT = 300, 301, 310, 330, 500
"""Caps: to our own endpoint, to be handed to others; to our own CNode; to what is attacked, one after the other; slots.
"""
ODD: Final = 60
"""Requests at random for each target."""
FLOOD: Final = 130
"""Requests with caps that nobody asked for: more than a server has slots."""
DERIVED: Final = 300
"""Caps that are asked for: more than a client may have open."""
WAITING: Final = 24
"""Requests that begin and never end: more than a server can hold."""
GUESSED: Final = (2, 3, 6, 7, 9, 12, 80, 140, 205, 299, 302, 309, 505, 1 << 58, 5 << 58, 7 << 58 | 3)
"""Addresses at which others have their caps, and where nothing is here."""
BADGES: Final = (2, 3, 4, 30, 1 << 22 | 2, 1 << 45 | 1 << 22 | 2)
"""Of other clients of a server, and of what they may have open."""
PATIENCE: Final = 3_000
"""Ticks that a server gets to do something foolish."""


@frozen
class Target:
    """Something to attack. ``waits`` are operations that wait, with arguments for as long as can be; ``left_out`` are
    those that this client may carry out and had better not.
    """

    interface: type[Interface]
    waits: Mapping[str, tuple[Any, ...]] = field(factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def passive(self) -> tuple[str, ...]:
        """Operations that are not asked for at random."""
        return (*self.waits, *self.left_out)


class Attack:
    """The means of an attacker."""

    def __init__(self, pd: PD, report: int, region: int, region_size: int) -> None:
        self.pd = pd
        self.ledger = Ledger(pd, report)
        self.region = region
        self.region_size = region_size
        self.chance = Random(pd.name)
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.connection = Connection(pd.sys, self.inbox)

    def stub(self, interface: Any, number: int = 0) -> Any:
        """The target of that number, to be asked as an honest client would."""
        return connect(interface, self.connection, FIRST_TARGET + number)

    async def refused(self, trick: Trick, what: str, attempt: Awaitable[Any]) -> None:
        """Try something that must be refused."""
        await self.ledger.refused(trick, what, attempt)

    async def everything(self, target: Target, cap: int) -> None:
        """Each trick; who goes first may spoil those that follow."""
        await self.bad_input(target, cap)
        await self.caps(target, cap)
        await self.replies(target, cap)
        if self.region:
            await self.memory(target, cap)
        await self.quota(cap)
        await self.slow(target, cap)

    async def ask(self, cap: int, message: Message) -> Message:
        """Ask, and keep no cap that comes back."""
        await self.inbox.open()
        reply = await self.pd.sys.call(cap, message)
        await self.inbox.refuse(reply)
        return reply

    async def bad_input(self, target: Target, cap: int) -> None:
        """What cannot be understood; then what can, at random."""
        for what, message in malformed(target.interface, self.chance):
            await self.ledger.answered(Trick.INPUT, what, await self.ask(cap, message), must_fail=True)
        for message in odd(target.interface, self.chance, ODD, target.passive):
            what = f"request {message.label:#x}"
            await self.ledger.answered(Trick.INPUT, what, await self.ask(cap, message), must_fail=False)

    async def forgery(self, cap: int) -> None:
        """A badge of our own choice, and caps of others at their addresses."""
        slot = self.inbox.slots.alloc()
        for badge in BADGES:
            attempt = stubs.cnode_mint(
                self.pd.sys, OWN_CNODE, dest_index=slot, dest_depth=64, src_root=OWN_CNODE, src_index=cap, src_depth=64,
                rights=rt.ALL, badge=ENDPOINT_BADGE | badge,
            )  # fmt: skip
            await self.refused(Trick.FORGERY, f"badge {badge:#x} was minted", attempt)
            await stubs.cnode_delete(self.pd.sys, OWN_CNODE, index=slot, depth=64)
        self.inbox.slots.free(slot)
        for address in GUESSED:
            reply = await self.pd.sys.call(address, Message(1 << 8 | 1))
            is_refused = 0 < reply.label < FIRST_LABEL
            await self.ledger.count(Trick.FORGERY, f"there is a cap at {address:#x}", is_refused=is_refused)

    async def caps(self, target: Target, cap: int) -> None:
        """Caps that nobody asked for: a server that kept them would have no slot left."""
        labels = [operation.label for operation in operations_of(target.interface).values() if not operation.caps]
        labels.append(target.interface.number << 8 | 0xE0)
        for _ in range(FLOOD):
            # Words that no operation has: nothing is carried out.
            message = Message(self.chance.choice(labels), (1 << 63,) * 7, (OWN_CNODE, OWN_ENDPOINT, cap))
            reply = await self.ask(cap, message)
            await self.ledger.answered(Trick.CAPS, "a cap that nobody asked for", reply, must_fail=True)

    async def replies(self, target: Target, cap: int) -> None:
        """Our own endpoint in place of an object: who asks us something before he answers waits for ever."""
        for operation in operations_of(target.interface).values():
            wanted = [parameter for parameter in operation.caps if parameter.interface is not None]
            if not wanted or operation.name in target.passive:
                continue
            message = request_of(operation, self.chance)
            message.caps = (OWN_ENDPOINT,) * len(operation.caps)
            await self.lure(operation.name, cap, message)

    async def lure(self, what: str, cap: int, message: Message) -> None:
        """Have a server ask us, if it lets itself; whoever does gets no answer."""
        await self.pd.sys.send(cap, message)
        await self.pd.compute(PATIENCE)
        asked = await self.pd.sys.nbrecv(INPUT_CAP, REPLY_CAP)
        is_called = bool(asked.badge & ENDPOINT_BADGE)
        await self.ledger.count(Trick.REPLIES, f"{what}: the server asked us, and waits", is_refused=not is_called)

    async def memory(self, target: Target, cap: int) -> None:
        """Requests in memory that an accomplice changes while they are read."""
        for operation in operations_of(target.interface).values():
            if operation.caps or operation.name in target.passive:
                continue
            for _ in range(8):
                words = request_of(operation, self.chance).words
                data = b"".join(word.to_bytes(8, "little") for word in words)
                await self.pd.write(self.region, data)
                reply = await self.ask(cap, Message(operation.label | SPILLED, (0, len(data))))
                what = f"{operation.name}, changed while it is read"
                await self.ledger.answered(Trick.MEMORY, what, reply, must_fail=False)

    async def quota(self, cap: int) -> None:
        """More objects than a client may have; then they are given back."""
        opened = 0
        for _ in range(DERIVED):
            reply = await self.ask(cap, Message(DERIVE))
            opened += not label_of(reply)
        what = f"{opened} objects were open at a time"
        await self.ledger.count(Trick.QUOTAS, what, is_refused=opened < DERIVED)
        await self.ask(cap, Message(REVOKE))

    async def slow(self, target: Target, cap: int) -> None:
        """Requests that wait, sent without waiting for the answer: each takes a place in the server."""
        for operation in operations_of(target.interface).values():
            if operation.name not in target.waits:
                continue
            values = dict(zip([each.name for each in operation.data], target.waits[operation.name], strict=True))
            words = to_words(operation.request(**values))
            for _ in range(WAITING):
                await self.pd.sys.send(cap, Message(operation.label, words))
                await self.ledger.allowed(Trick.SLOW)

    async def more_than_its_quota(self, what: str, attempts: int, make: Any) -> None:
        """Ask for something again and again; it must end with QuotaExceeded."""
        for _ in range(attempts):
            try:
                await make()
            except QuotaExceeded:
                await self.ledger.count(Trick.QUOTAS, what, is_refused=True)
                return
        await self.ledger.count(Trick.QUOTAS, f"{what}: {attempts} times", is_refused=False)
