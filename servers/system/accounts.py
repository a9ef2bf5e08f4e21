"""Accounts of pages as a table, without any of the memory: who has which, and that nothing is lost or made.

Pages are numbered. A page is free, or in one memory object; a memory object is in one account. In each account, pages
in use, quotas given below, and what is left add up to its quota. The quotas of the accounts that the system has add up
to no more than all pages.
"""

import struct
from collections.abc import Mapping
from typing import Final

from attrs import define, field

from capkernel.protocols.failures import AlreadyExists, Malformed, NotFound, QuotaExceeded
from capkernel.protocols.memory import PAGE, AccountInfo, Use

_USES: Final = tuple(Use)
MOVED: Final = 1 << 62
MAX_NUMBER: Final = MOVED - 1


@define
class AccountRow:
    """An account. ``parent`` is 0 for the system's own, whose ``number`` is the channel by which it is reached."""

    id: int
    parent: int
    number: int
    quota: int


@define
class MemoryRow:
    """Memory of an account; ``is_dying`` while its pages are being taken back."""

    id: int
    account: int
    number: int
    use: Use
    pages: list[int]
    is_dying: bool = False


@define
class Book:
    """All accounts and all memory, by their ids, which are never used twice."""

    pages: int
    accounts: dict[int, AccountRow] = field(factory=dict)
    memories: dict[int, MemoryRow] = field(factory=dict)
    next_id: int = 1
    _free: list[int] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Free is what nobody has."""
        taken = {page for row in self.memories.values() for page in row.pages}
        self._free = [page for page in reversed(range(self.pages)) if page not in taken]

    def found(self, channels: Mapping[int, int]) -> None:
        """Give the system its own accounts: quotas in pages by channel. Raises ValueError if there are not so many."""
        if sum(channels.values()) > self.pages:
            raise ValueError(f"accounts of {sum(channels.values())} pages are wanted, and there are {self.pages}")
        for channel, quota in channels.items():
            self._add_account(0, channel, quota)

    def root(self, channel: int) -> AccountRow | None:
        """The account that a channel leads to."""
        return next((row for row in self.accounts.values() if not row.parent and row.number == channel), None)

    def info(self, account: int) -> AccountInfo:
        """How an account stands."""
        used = sum(len(row.pages) for row in self.memories.values() if row.account == account)
        given = sum(row.quota for row in self.accounts.values() if row.parent == account)
        return AccountInfo(self.accounts[account].quota * PAGE, used * PAGE, given * PAGE)

    def allocate(self, account: int, number: int, size: int, use: Use) -> MemoryRow:
        """Take pages; or those of this number. Raises QuotaExceeded, AlreadyExists, Malformed."""
        pages = _pages(size)
        known = self._memory(account, _numbered(number))
        if known is not None:
            if (len(known.pages), known.use) != (pages, use) or known.is_dying:
                raise AlreadyExists(f"memory {number} is of {len(known.pages) * PAGE} bytes for {known.use.value}")
            return known
        self._need(account, pages)
        row = self.memories[self.next_id] = MemoryRow(
            self.next_id, account, number, use, [self._free.pop() for _ in range(pages)]
        )
        self.next_id += 1
        return row

    def split(self, account: int, number: int, quota: int) -> AccountRow:
        """An account below; or that of this number. Raises QuotaExceeded, AlreadyExists, Malformed."""
        pages = _pages(quota)
        known = self._account(account, _numbered(number))
        if known is not None:
            if known.quota != pages:
                raise AlreadyExists(f"account {number} has a quota of {known.quota * PAGE} bytes")
            return known
        self._need(account, pages)
        return self._add_account(account, number, pages)

    def memory(self, account: int, number: int) -> MemoryRow:
        """Memory of an account. Raises NotFound."""
        found = self._memory(account, number)
        if found is None or found.is_dying:
            raise NotFound(f"this account has no memory {number}")
        return found

    def account(self, account: int, number: int) -> AccountRow:
        """An account below. Raises NotFound."""
        found = self._account(account, number)
        if found is None:
            raise NotFound(f"this account has no account {number} below it")
        return found

    def below(self, account: int) -> list[int]:
        """The accounts below one, the lowest first."""
        children = [row.id for row in self.accounts.values() if row.parent == account]
        return [each for child in children for each in (*self.below(child), child)]

    def doomed(self, account: int) -> list[MemoryRow]:
        """All memory of an account and of those below it."""
        accounts = {account, *self.below(account)}
        return [row for row in self.memories.values() if row.account in accounts]

    def remove_memory(self, memory: int) -> None:
        """Its pages were taken back."""
        self._free += reversed(self.memories.pop(memory).pages)

    def remove_accounts(self, accounts: list[int]) -> None:
        """Accounts without memory, the lowest first: their quotas return to those above them."""
        for account in accounts:
            del self.accounts[account]

    def dissolve(self, account: int) -> list[int]:
        """Leave all that is in an account, and below it, to the account above; the numbers of its memory there.

        Numbers are the account's own; those from ``MOVED`` on are not given by clients but made of ids, and so unique.
        """
        gone = self.accounts.pop(account)
        memories = [row for row in self.memories.values() if row.account == account]
        for row in [each for each in self.accounts.values() if each.parent == account]:
            row.parent, row.number = gone.parent, MOVED | row.id
        for memory in memories:
            memory.account, memory.number = gone.parent, MOVED | memory.id
        return [memory.number for memory in memories]

    def _add_account(self, parent: int, number: int, quota: int) -> AccountRow:
        row = self.accounts[self.next_id] = AccountRow(self.next_id, parent, number, quota)
        self.next_id += 1
        return row

    def _need(self, account: int, pages: int) -> None:
        left = self.info(account).left // PAGE
        if pages > left:
            raise QuotaExceeded(f"{pages * PAGE} bytes are wanted, and {left * PAGE} are left in this account")

    def _memory(self, account: int, number: int) -> MemoryRow | None:
        rows = self.memories.values()
        return next((row for row in rows if row.account == account and row.number == number), None)

    def _account(self, account: int, number: int) -> AccountRow | None:
        rows = self.accounts.values()
        return next((row for row in rows if row.parent == account and row.number == number), None)

    # To be kept

    def encode(self) -> bytes:
        """All of it."""
        words = [self.pages, self.next_id, len(self.accounts)]
        for row in self.accounts.values():
            words += row.id, row.parent, row.number, row.quota
        for memory in self.memories.values():
            words += memory.id, memory.account, memory.number, _USES.index(memory.use), memory.is_dying
            words += len(memory.pages), *memory.pages
        return struct.pack(f"<{len(words)}Q", *words)

    @classmethod
    def decode(cls, data: bytes) -> "Book":
        """The same read back."""
        words = iter(struct.unpack(f"<{len(data) // 8}Q", data))
        book = cls(next(words), next_id=next(words))
        for _ in range(next(words)):
            row = AccountRow(next(words), next(words), next(words), next(words))
            book.accounts[row.id] = row
        for first in words:
            memory = MemoryRow(first, next(words), next(words), _USES[next(words)], [], bool(next(words)))
            memory.pages = [next(words) for _ in range(next(words))]
            book.memories[memory.id] = memory
        book.__attrs_post_init__()
        return book


def _pages(size: int) -> int:
    if size <= 0 or size % PAGE:
        raise Malformed(f"memory comes in pages of {PAGE} bytes, not in {size} bytes")
    return size // PAGE


def _numbered(number: int) -> int:
    if not 0 <= number <= MAX_NUMBER:
        raise Malformed(f"numbers are 0 to {MAX_NUMBER}, not {number}")
    return number
