"""Memory by quotas: nothing is lost or made, whatever clients do, and whenever they or the server die."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import (
    AlreadyExists,
    Gone,
    Malformed,
    NotFound,
    QuotaExceeded,
    Refused,
    WrongKind,
)
from capkernel.protocols.memory import PAGE, Account, AccountInfo, Memory, Use
from capkernel.protocols.strategies import hostile_requests
from capkernel.tools.inject import Fault, Kind
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.kept import Kept
from capkernel.user.loop import BASE_ENDPOINT_CAP
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import READ, WRITE
from capkernel.user.syscalls import Message
from servers.system.accounts import Book
from servers.system.funds import Fund
from tests.servers.process_bench import MEMORY, World, play
from tests.servers.stepping import run_steps

SMALL = st.integers(0, 3)
SIZES = st.integers(0, 6).map(lambda pages: pages * PAGE)
STEPS = st.one_of(
    st.tuples(st.just("allocate"), SMALL, SMALL, SIZES),
    st.tuples(st.just("split"), SMALL, SMALL, SIZES),
    st.tuples(st.just("release"), SMALL),
    st.tuples(st.just("close"), SMALL),
    st.tuples(st.just("server dies"), st.integers(0, 3)),
)


def balanced(book: Book) -> None:
    """Nothing is lost or made."""
    taken = [page for row in book.memories.values() for page in row.pages]
    assert sorted([*taken, *book._free]) == list(range(book.pages))
    for account in book.accounts:
        info = book.info(account)
        assert info.left >= 0
        assert info.used + info.given + info.left == info.quota
    assert sum(row.quota for row in book.accounts.values() if not row.parent) <= book.pages


class Ram:
    """Memory that outlives its program, which may die after any write."""

    def __init__(self, size: int) -> None:
        self.content = bytearray(size)
        self.writes_left: int | None = None

    def run(self, awaitable: Any) -> Any:
        return run_steps(awaitable, self._access)

    def _access(self, kind: int, address: int, what: Any) -> bytes | None:
        if kind == READ:
            return bytes(self.content[address : address + what])
        assert kind == WRITE
        if self.writes_left == 0:
            raise InterruptedError
        if self.writes_left is not None:
            self.writes_left -= 1
        self.content[address : address + len(what)] = what
        return None


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_accounts_balance_after_any_history_and_any_crash(steps: list[tuple[Any, ...]]) -> None:
    ram = Ram(1 << 16)
    kept = Kept(SharedRegion(0, 1 << 16))
    book = Book(16)
    book.found({2: 8, 3: 6})
    ram.run(kept.save(book.encode()))
    for name, *args in steps:
        accounts = list(book.accounts)
        account = accounts[args[0] % len(accounts)]
        before = book.encode()
        try:
            if name == "allocate":
                book.allocate(account, args[1], args[2], Use.FRAMES)
            elif name == "split":
                book.split(account, args[1], args[2])
            elif name == "release" and book.memories:
                book.remove_memory(list(book.memories)[args[0] % len(book.memories)])
            elif name == "close":
                below, doomed = book.below(account), book.doomed(account)
                for row in doomed:
                    book.remove_memory(row.id)
                book.remove_accounts([*below, *([account] if book.accounts[account].parent else [])])
        except (QuotaExceeded, AlreadyExists, Malformed):
            assert book.encode() == before
        balanced(book)
        ram.writes_left = args[0] if name == "server dies" else None
        with suppress(InterruptedError):
            ram.run(kept.save(book.encode()))
        if name == "server dies":
            kept = Kept(SharedRegion(0, 1 << 16))
            saved = ram.run(kept.load())
            assert saved in (before, book.encode())
            book = Book.decode(saved)
            balanced(book)


def test_a_table_that_was_torn_is_the_one_before() -> None:
    ram, kept = Ram(256), Kept(SharedRegion(0, 256))
    assert ram.run(kept.load()) is None
    ram.run(kept.save(b"one"))
    ram.run(kept.save(b"two"))
    for index in range(8, 16 + 3):
        torn = Ram(256)
        torn.content[:] = ram.content
        torn.content[128 * (kept.version % 2) + index] ^= 1
        assert torn.run(Kept(SharedRegion(0, 256)).load()) == b"one"
    with pytest.raises(ValueError, match="room for 112"):
        ram.run(kept.save(bytes(113)))


def test_memory_is_exact_zeroed_and_gone_when_it_is_given_back(monkeypatch: Any) -> None:
    async def story(world: World) -> None:
        account = world.account
        quota = (await account.info()).quota
        with pytest.raises(QuotaExceeded):
            await account.allocate(1, quota + PAGE, Use.FRAMES)
        memory = await account.allocate(1, 3 * PAGE, Use.FRAMES)
        again = await account.allocate(1, 3 * PAGE, Use.FRAMES)
        with pytest.raises(AlreadyExists):
            await account.allocate(1, 2 * PAGE, Use.FRAMES)
        with pytest.raises(WrongKind):
            await memory.untyped(0)
        for page in (-1, 3):
            with pytest.raises(Malformed):
                await memory.frame(page)
        assert await again.size() == 3 * PAGE
        below = await account.split(7, quota - 3 * PAGE)
        assert await account.info() == AccountInfo(quota, 3 * PAGE, quota - 3 * PAGE)
        with pytest.raises(QuotaExceeded):
            await account.allocate(2, PAGE, Use.OBJECTS)
        inner = await below.allocate(1, quota - 3 * PAGE, Use.OBJECTS)
        cap = await inner.untyped(0)
        await below.close()
        assert (await account.info()).left == quota - 3 * PAGE
        for dead in (below.info(), inner.size()):
            with pytest.raises(Gone):
                await dead
        assert (await world.pd.sys.call(cap, Message(1))).label, "the cap is gone from our slot"
        await again.drop()
        assert (await account.info()).used == 3 * PAGE
        await memory.drop()
        assert await account.info() == AccountInfo(quota, 0, 0)
        with pytest.raises(NotFound):
            await account.memory(1)
        with pytest.raises(Refused):
            await account.close()

    play(monkeypatch, story, every=20)


@pytest.mark.parametrize("step", [3, 12, 40, 90, 140, 200, 250])
def test_a_server_that_dies_goes_on_with_its_table_and_what_was_given_stays(monkeypatch: Any, step: int) -> None:
    async def story(world: World) -> None:
        fund = Fund(lambda: _account(world))
        quota = (await fund.ask(lambda account: account.info())).quota
        for number in range(8):
            pages = [await fund.allocate(2, Use.OBJECTS), await fund.allocate(1, Use.FRAMES)]
            part = await fund.split(8 * PAGE)
            inner = await part.allocate(8, Use.FRAMES)
            for page in range(2):
                await pages[1].frame(0)
                await inner.frame(page)
            assert await fund.ask(lambda account: account.info()) == AccountInfo(quota, 3 * PAGE, 8 * PAGE)
            for each in pages:
                await fund.release(each)
            await part.close()
            assert await fund.ask(lambda account: account.info()) == AccountInfo(quota, 0, 0), number
            for slot in range(400, 500):
                await stubs.cnode_delete(world.pd.sys, 301, index=slot, depth=64)
            world.connection.inbox.slots = SlotAllocator(301, 401, 500)

    def watch(stage: Any) -> None:
        stage.injector.faults.append(Fault("memory", step, Kind.CRASH))

    stage = play(monkeypatch, story, watch=watch)
    assert stage.injector.activated


async def _account(world: World) -> Account:
    return world.account


@settings(
    max_examples=6, deadline=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.lists(hostile_requests(Account) | hostile_requests(Memory), min_size=30, max_size=60))
def test_no_request_kills_the_memory_server_or_makes_memory(monkeypatch: Any, requests: list[Message]) -> None:
    async def story(world: World) -> None:
        quota = (await world.account.info()).quota
        memory: Any = await world.account.allocate(99, PAGE, Use.FRAMES)
        for request in requests:
            for cap in (memory.cap, BASE_ENDPOINT_CAP + MEMORY):
                reply = await world.pd.sys.call(cap, Message(request.label, request.words))
                await world.connection.inbox.refuse(reply)
        await world.account.clear()
        assert await world.account.info() == AccountInfo(quota, 0, 0)

    play(monkeypatch, story)
