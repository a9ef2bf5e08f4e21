"""The memory server: pages by exact quotas. Its table, its pages and the slots of its caps outlive it.

Each page is an untyped of its own. To take one back is to revoke it: whatever was made of it is gone, wherever caps to
it are. So a page that is free is nobody's, and the quotas are exact.

What is to be done is written down before it is done; a new life finishes what the one before has begun.
"""

from contextlib import suppress
from typing import Any, ClassVar, Final

from attrs import frozen

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import Gone, Malformed, Refused, TooLarge, WrongKind
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.memory import Account, AccountInfo, Memory, Use
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.kept import Kept
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read
from capkernel.user.syscalls import Message, Syscalls
from servers.neighbours import ByTable, Role, Serves, Uses
from servers.system.accounts import Book, MemoryRow
from servers.system.quotas import read_quotas
from servers.system.retiring import Handover, decline

quotas: int = 0
quotas_size: int = 0x1000
table: int = 0
table_size: int = 0x1_0000
state: int = 0
state_size: int = 0x4000
"""Memory that outlives the server, for caps that it has given out; the table says what is behind them."""

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
UNTYPED, PAGE_SLOTS = 310, 311
"""Slots of the memory, and of the CNode of its pages' caps, which stands at ``PLACE``."""
PLACE: Final = 5 << 58
SUPERVISOR, UPDATE = 1, 61
"""Channels, besides those of accounts."""
MOST_MOVED: Final = 64
"""Memory objects of an account that is dissolved: their numbers fit into a message."""
FAN_OUT = 256
"""Objects that the kernel makes at a time."""


class Pages:
    """The pages' caps: untyped n in slot n, its frame, when it is made, in n + ``count``; the memory behind all."""

    def __init__(self, sys: Syscalls, count: int) -> None:
        self.sys = sys
        self.count = count

    async def divide(self) -> None:
        """Make the pages, of memory that is whole or was being divided.

        Its cap is moved first to where a next life finds it.
        """
        memory = 2 * self.count
        with suppress(KernelError):
            await stubs.cnode_move(
                self.sys, PAGE_SLOTS, dest_index=memory, dest_depth=WORD_BITS, src_root=OWN_CNODE, src_index=UNTYPED,
                src_depth=WORD_BITS,
            )  # fmt: skip
        await stubs.cnode_revoke(self.sys, PAGE_SLOTS, index=memory, depth=WORD_BITS)
        for first in range(0, self.count, FAN_OUT):
            await stubs.untyped_retype(
                self.sys, PLACE | memory, object_type=obj.UNTYPED, size_bits=obj.PAGE_BITS, root=PAGE_SLOTS,
                node_index=0, node_depth=0, node_offset=first, num_objects=min(FAN_OUT, self.count - first),
            )  # fmt: skip

    async def frame(self, page: int) -> Cap:
        """A cap to a page's frame, which is made if it is not there."""
        try:
            await stubs.untyped_retype(
                self.sys, PLACE | page, object_type=obj.PAGE, size_bits=0, root=PAGE_SLOTS, node_index=0, node_depth=0,
                node_offset=self.count + page, num_objects=1,
            )  # fmt: skip
        except KernelError as error:
            if error.code != err.DELETE_FIRST:
                raise
        return Cap(PLACE | self.count + page)

    def untyped(self, page: int) -> Cap:
        """A cap to a page."""
        return Cap(PLACE | page)

    async def take_back(self, page: int) -> None:
        """Nobody has anything of a page from now on."""
        await stubs.cnode_revoke(self.sys, PAGE_SLOTS, index=page, depth=WORD_BITS)


class Bank:
    """The table, written down, and the pages."""

    def __init__(self, pages: Pages, kept: Kept, book: Book) -> None:
        self.pages = pages
        self.kept = kept
        self.book = book
        self.service: Any = None
        self._servants: dict[int, Interface] = {}

    async def save(self) -> None:
        """Write the table down."""
        await self.kept.save(self.book.encode())

    def account(self, id: int) -> "AccountServant":
        """The servant of an account; there is one, however often it is asked for."""
        servant = self._servants.setdefault(id, AccountServant(self, id))
        assert isinstance(servant, AccountServant)
        return servant

    def memory(self, id: int) -> "MemoryServant":
        """The servant of memory."""
        servant = self._servants.setdefault(id, MemoryServant(self, id))
        assert isinstance(servant, MemoryServant)
        return servant

    async def take_back(self, doomed: list[MemoryRow], accounts: list[int]) -> None:
        """End memory, and accounts whose memory that was."""
        for row in doomed:
            row.is_dying = True
        if doomed:
            await self.save()
        for row in doomed:
            for page in row.pages:
                await self.pages.take_back(page)
            self.book.remove_memory(row.id)
        self.book.remove_accounts(accounts)
        await self.save()
        for id in [*(row.id for row in doomed), *accounts]:
            servant = self._servants.pop(id, None)
            if servant is not None:
                self.service.revoke(servant)

    async def dissolve(self, account: int) -> list[int]:
        """An account ends, and what was allocated from it stays."""
        numbers = self.book.dissolve(account)
        await self.save()
        servant = self._servants.pop(account, None)
        if servant is not None:
            # What was opened through caps to the account goes on working.
            self.service.withdraw(servant)
        return numbers

    async def finish(self) -> None:
        """Do what a former life has begun."""
        await self.take_back([row for row in self.book.memories.values() if row.is_dying], [])


class MemoryServant(Memory):
    """Memory, as its holder has it."""

    def __init__(self, bank: Bank, id: int) -> None:
        self.bank = bank
        self.id = id

    def _row(self) -> MemoryRow:
        row = self.bank.book.memories.get(self.id)
        if row is None:
            raise Gone("this memory was taken back")
        return row

    def _page(self, page: int, use: Use) -> int:
        row = self._row()
        if row.use is not use:
            raise WrongKind(f"this is memory for {row.use.value}")
        if not 0 <= page < len(row.pages):
            raise Malformed(f"it has the pages 0 to {len(row.pages) - 1}, not {page}")
        return row.pages[page]

    async def size(self) -> int:
        """In bytes."""
        return len(self._row().pages) * obj.PAGE_BYTES

    async def frame(self, page: int) -> Cap:
        """A frame."""
        return await self.bank.pages.frame(self._page(page, Use.FRAMES))

    async def untyped(self, page: int) -> Cap:
        """Raw memory."""
        return self.bank.pages.untyped(self._page(page, Use.OBJECTS))

    async def closed(self) -> None:
        """Nobody has a cap to it: its pages come back."""
        row = self.bank.book.memories.get(self.id)
        if row is not None:
            await self.bank.take_back([row], [])


class AccountServant(Account):
    """An account, as its holder has it."""

    def __init__(self, bank: Bank, id: int) -> None:
        self.bank = bank
        self.id = id

    def _known(self) -> int:
        if self.id not in self.bank.book.accounts:
            raise Gone("this account was closed")
        return self.id

    async def info(self) -> AccountInfo:
        """How it stands."""
        return self.bank.book.info(self._known())

    async def allocate(self, number: int, size: int, use: Use) -> Memory:
        """Memory from it."""
        row = self.bank.book.allocate(self._known(), number, size, use)
        await self.bank.save()
        return self.bank.memory(row.id)

    async def split(self, number: int, quota: int) -> Account:
        """An account below it."""
        row = self.bank.book.split(self._known(), number, quota)
        await self.bank.save()
        return self.bank.account(row.id)

    async def memory(self, number: int) -> Memory:
        """Memory from it, again."""
        return self.bank.memory(self.bank.book.memory(self._known(), number).id)

    async def account(self, number: int) -> Account:
        """An account below it, again."""
        return self.bank.account(self.bank.book.account(self._known(), number).id)

    async def release(self, number: int) -> None:
        """Take memory back."""
        await self.bank.take_back([self.bank.book.memory(self._known(), number)], [])

    async def clear(self) -> None:
        """Take everything back."""
        book = self.bank.book
        await self.bank.take_back(book.doomed(self._known()), book.below(self.id))

    async def close(self) -> None:
        """Take everything back, and return the quota."""
        book = self.bank.book
        if not book.accounts[self._known()].parent:
            raise Refused("this account is the system's; it can be cleared, not closed")
        await self.bank.take_back(book.doomed(self.id), [*book.below(self.id), self.id])

    async def dissolve(self) -> list[int]:
        """Leave everything to the account above."""
        book = self.bank.book
        if not book.accounts[self._known()].parent:
            raise Refused("this account is the system's; there is none above it")
        if len([row for row in book.memories.values() if row.account == self.id]) > MOST_MOVED:
            raise TooLarge(f"there are more than {MOST_MOVED} memory objects in this account")
        return await self.bank.dissolve(self.id)

    async def closed(self) -> None:
        """Nobody has a cap to it."""
        row = self.bank.book.accounts.get(self.id)
        if row is not None:
            await (self.close() if row.parent else self.clear())


@frozen
class KeptHolding:
    """An account or a memory object to which there are caps."""

    is_account: bool
    id: int


@frozen
class KeptHoldings:
    """For the next program: what clients have caps to."""

    objects: list[KeptHolding]
    caps: list[GivenCap]


def keep_holdings(service: Service) -> KeptHoldings:
    """What was given out."""
    servants, caps = given_caps(service)
    return KeptHoldings([_holding(servant) for servant in servants], caps)


def _holding(servant: Interface) -> KeptHolding:
    if not isinstance(servant, AccountServant | MemoryServant):
        raise TypeError(f"a memory server gives out accounts and memory, no {type(servant).__name__}")
    return KeptHolding(isinstance(servant, AccountServant), servant.id)


def restore_holdings(kept: KeptHoldings, bank: Bank, service: Service) -> None:
    """Let the caps lead where they led. Raises ValueError if no former life can have written this down."""
    for each in kept.objects:
        if each.id not in (bank.book.accounts if each.is_account else bank.book.memories):
            raise ValueError(f"there is no {'account' if each.is_account else 'memory'} {each.id}")
    servants = [bank.account(each.id) if each.is_account else bank.memory(each.id) for each in kept.objects]
    restore_given(service, servants, kept.caps)


def served(text: str) -> dict[int, Serves]:
    """Whom it serves, by channel, with these quotas. Raises QuotaError."""
    return dict.fromkeys(read_quotas(text).accounts, Serves(Account))


class Program:
    """The server."""

    uses: ClassVar[Uses] = Uses(
        serves=ByTable("quotas", served),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"quotas", "table"}), holds=frozenset({ENDPOINT}),
    )

    def __init__(self) -> None:
        self.bank: Any = None
        self.service: Any = None
        self.handover: Any = None

    async def init(self, pd: PD) -> None:
        """Go on from the table, or divide the memory and begin one."""
        wanted = read_quotas((await read(quotas, quotas_size)).rstrip(b"\0").decode())
        kept = Kept(SharedRegion(table, table_size))
        saved = await kept.load()
        book = Book(1 << wanted.size_bits - obj.PAGE_BITS) if saved is None else Book.decode(saved)
        self.bank = Bank(Pages(pd.sys, book.pages), kept, book)
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = self.bank.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()
        if saved is None:
            await self.bank.pages.divide()
            book.found(wanted.accounts)
            await self.bank.save()
        await self.bank.finish()
        if state:
            self.handover = Handover(pd, KeptHoldings, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(self._take_up)

    async def _take_up(self, kept: KeptHoldings) -> None:
        restore_holdings(kept, self.bank, self.service)

    def _root(self, session: int) -> Interface | None:
        row = self.bank.book.root(session)
        account: Interface | None = None if row is None else self.bank.account(row.id)
        return account

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        if ch != UPDATE:
            await pd.notify(SUPERVISOR)
        elif self.handover is None:
            await decline(pd, "there is no memory that outlives the caps")
        else:
            await self.handover.give_way(keep_holdings(self.service))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
