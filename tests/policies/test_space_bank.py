"""Space banks are accounts of the memory server: one below another, ended with what they hold or without; exact."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import Failure, NotFound, Refused
from capkernel.protocols.memory import PAGE, Use
from capkernel.user.kept import Kept
from capkernel.user.messages import SharedRegion
from servers.system.accounts import Book
from servers.system.memory_server import AccountServant, Bank
from tests.policies.test_desk import SIZE, Crash, World

PAGES, OWN = 16, {2: 8, 3: 6}
SMALL = st.integers(0, 4)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["allocate", "allocate", "split", "split", "release", "clear", "close", "dissolve"]),
        SMALL, SMALL, SMALL, st.none() | st.none() | st.integers(0, 8),
    ), max_size=30,
)  # fmt: skip


class Frames:
    """The pages: who has taken one back, can give it out again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.in_use: set[int] = set()

    async def take_back(self, page: int) -> None:
        self.world.act()
        self.in_use.discard(page)


class Doors:
    """The service, of which nothing is wanted here."""

    def revoke(self, servant: Any) -> None:
        pass

    def withdraw(self, servant: Any) -> None:
        pass


class House:
    """A memory server that may die between any two things that it does."""

    def __init__(self) -> None:
        self.world = World()
        self.frames = Frames(self.world)
        book = Book(PAGES)
        book.found(OWN)
        self.world.run(Kept(SharedRegion(0, SIZE)).save(book.encode()))
        self.start()

    def start(self) -> None:
        kept = Kept(SharedRegion(0, SIZE))
        frames: Any = self.frames
        self.bank = Bank(frames, kept, Book.decode(self.world.run(kept.load())))
        self.bank.service = Doors()
        self.world.run(self.bank.finish())

    def do(self, work: Any, steps: int | None) -> Any:
        self.world.left = steps
        try:
            return self.world.run(work)
        except Crash:
            self.world.left = None
            self.start()
        finally:
            self.world.left = None
        return None

    def look(self) -> None:
        """Nothing is lost or made: pages, and in each bank its quota."""
        book = self.bank.book
        used = [page for row in book.memories.values() for page in row.pages]
        assert sorted([*used, *book._free]) == list(range(PAGES))
        assert {row.number: row.quota for row in book.accounts.values() if not row.parent} == OWN
        for account in book.accounts:
            info = book.info(account)
            assert info.used + info.given + info.left == info.quota
            assert info.left >= 0
        assert len(used) == sum(book.info(account).used for account in book.accounts) // PAGE
        numbers = [(row.account, row.number) for row in book.memories.values()]
        assert len(numbers) == len(set(numbers))
        # What is out in the world is in the book.
        assert self.frames.in_use <= set(used)


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_pages_and_quotas_are_conserved_over_any_history_and_any_crash(steps: list[tuple[Any, ...]]) -> None:
    house = House()
    for what, place, number, pages, dies in steps:
        accounts = list(house.bank.book.accounts)
        account = AccountServant(house.bank, accounts[place % len(accounts)])
        arguments: dict[str, tuple[Any, ...]] = {
            "allocate": (number, pages * PAGE, Use.FRAMES), "split": (number, pages * PAGE), "release": (number,)
        }  # fmt: skip
        before = house.bank.book.encode()
        try:
            house.do(getattr(account, what)(*arguments.get(what, ())), dies)
        except Failure:
            assert house.bank.book.encode() == before
        house.frames.in_use |= {page for row in house.bank.book.memories.values() for page in row.pages}
        house.look()
    for row in [row for row in house.bank.book.accounts.values() if not row.parent]:
        house.do(AccountServant(house.bank, row.id).clear(), None)
    assert not house.frames.in_use
    assert len(house.bank.book._free) == PAGES


def test_a_bank_that_is_dissolved_leaves_what_was_bought_to_the_bank_above() -> None:
    house = House()
    top = next(iter(house.bank.book.accounts))
    world, bank = house.world, house.bank
    above = AccountServant(bank, top)
    below: Any = world.run(above.split(1, 6 * PAGE))
    world.run(below.allocate(7, 2 * PAGE, Use.FRAMES))
    deeper: Any = world.run(below.split(1, PAGE))
    [number] = world.run(below.dissolve())
    assert world.run(above.info()).used == 2 * PAGE
    assert world.run(above.info()).given == PAGE
    assert world.run(deeper.info()).quota == PAGE
    assert world.run(world.run(above.memory(number)).size()) == 2 * PAGE
    with pytest.raises(NotFound):
        world.run(above.account(1))
    with pytest.raises(Refused):
        world.run(above.dissolve())
    world.run(above.clear())
    assert world.run(above.info()).left == 8 * PAGE


def test_at_each_step_at_which_the_bank_can_die_nothing_is_lost() -> None:
    """Not a sample."""
    deaths = 0
    for step in range(200):
        house = House()
        with suppress(Failure):
            house.do(_history(house), step)
        house.look()
        if house.world.left is None and _is_done(house):
            break
        deaths += 1
    assert deaths > 8


async def _history(house: House) -> None:
    above = AccountServant(house.bank, next(iter(house.bank.book.accounts)))
    first: Any = await above.split(1, 4 * PAGE)
    second: Any = await above.split(2, 3 * PAGE)
    await first.allocate(1, 2 * PAGE, Use.FRAMES)
    await second.allocate(1, 2 * PAGE, Use.FRAMES)
    await first.dissolve()
    await second.close()
    await above.split(9, PAGE)


def _is_done(house: House) -> bool:
    return any(row.number == 9 for row in house.bank.book.accounts.values())
