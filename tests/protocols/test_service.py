"""Objects behind caps: a servant does what a client asks, what is closed stays closed, nothing kills the server."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.abi import objects as obj
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import Busy, Failure, Gone, Malformed, NotFound, QuotaExceeded, TooLarge
from capkernel.protocols.interface import Cap, Interface, operation, operations_of
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import arguments_of, hostile_requests
from capkernel.protocols.wire import bind, pack_request, unpack_request
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, ENDPOINT_BADGE, PD, PD_CNODE_BITS
from capkernel.user.messages import to_words
from capkernel.user.operations import steps_of
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition

ENDPOINT, OWN_CNODE, REPLY = 300, 301, 302
BANK = 0


@attrs.frozen
class Entry:
    amount: int
    note: str


class Account(Interface, number=60001):
    """Money."""

    @operation(1)
    @abstractmethod
    async def balance(self) -> int:
        """What is there."""

    @operation(2)
    @abstractmethod
    async def book(self, entry: Entry) -> None:
        """Add or take."""

    @operation(3)
    @abstractmethod
    async def history(self, last: int) -> list[Entry]:
        """The last bookings."""

    @operation(4)
    @abstractmethod
    async def transfer(self, amount: int, to: "Account") -> None:
        """Move money to another account of the same bank."""

    @operation(5)
    @abstractmethod
    async def wait_for(self, amount: int) -> int:
        """Wait until at least so much is there."""


class Bank(Interface, number=60002):
    """Where accounts are."""

    @operation(1)
    @abstractmethod
    async def open(self, name: str) -> Account:
        """The account of that name, new if there is none."""

    @operation(2)
    @abstractmethod
    async def keep(self, what: Cap) -> int:
        """Put something into the safe; the number under which it lies."""

    @operation(3)
    @abstractmethod
    async def pledge(self, what: Cap, account: Account) -> int:
        """The same, for money on an account."""


class PlainAccount(Account):
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.changed = Condition()
        self.is_closed = False

    async def balance(self) -> int:
        return sum(entry.amount for entry in self.entries)

    async def book(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.changed.notify()

    async def history(self, last: int) -> list[Entry]:
        return self.entries[-last:]

    async def transfer(self, amount: int, to: Account) -> None:
        if await self.balance() < amount:
            raise NotFound("not so much money")
        await self.book(Entry(-amount, "to"))
        await to.book(Entry(amount, "from"))

    async def wait_for(self, amount: int) -> int:
        while await self.balance() < amount:
            await self.changed.wait()
        return await self.balance()

    async def closed(self) -> None:
        self.is_closed = True


class PlainBank(Bank):
    def __init__(self) -> None:
        self.accounts: dict[str, PlainAccount] = {}
        self.safe: list[Cap] = []

    async def open(self, name: str) -> Account:
        if not name:
            raise NotFound("an account has a name")
        return self.accounts.setdefault(name, PlainAccount())

    async def keep(self, what: Cap) -> int:
        self.safe.append(what)
        return len(self.safe)

    async def pledge(self, what: Cap, account: Account) -> int:
        return await self.keep(what)


def inbox_of(pd: PD) -> Inbox:
    return Inbox(pd.sys, SlotAllocator(OWN_CNODE, 320, 400))


class Server:
    """The bank's program."""

    def __init__(self, limit: int = 20) -> None:
        self.bank = PlainBank()
        self.limit = limit
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        pd.spare_replies.append(REPLY)
        self.service = Service(
            pd, roots=lambda session: self.bank if session < 8 else None, endpoint=ENDPOINT, inbox=inbox_of(pd),
            limit=self.limit,
        )  # fmt: skip
        await self.service.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        return await self.service.protected(msg)


Story = Callable[[PD, Connection, Bank], Awaitable[None]]


class Client:
    """A program that does what a test says."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.is_done = False

    async def init(self, pd: PD) -> None:
        connection = Connection(pd.sys, inbox_of(pd))
        await self.story(pd, connection, connect(Bank, connection, BASE_ENDPOINT_CAP + BANK))
        self.is_done = True

    async def notified(self, pd: PD, ch: int) -> None:
        pass


def play(domain: Any, domains: Any, *stories: Story, limit: int = 20) -> Server:
    """Run the bank and a client for each story, the first with the highest priority; all must end."""
    server = Server(limit)
    bank = domain(server, 200)
    clients = [domain(Client(story), 150 - n, pps=1 << BANK) for n, story in enumerate(stories)]

    async def wire(builder: Any) -> None:
        for each in (bank, *clients):
            await builder.put(each, OWN_CNODE, each.cnode, 64 - PD_CNODE_BITS)
        await builder.put(bank, ENDPOINT, bank.endpoint)
        await builder.put(bank, REPLY, await builder.env.memory.alloc(obj.REPLY))
        for number, each in enumerate(clients):
            await builder.put(each, BASE_ENDPOINT_CAP + BANK, bank.endpoint, ENDPOINT_BADGE | number)

    system = domains([bank, *clients], wire)
    assert not system.crashes, system.crashes[0].report
    assert all(each.hooks.is_done for each in clients)
    return server


def test_an_object_is_opened_used_and_handed_to_another(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, bank: Bank) -> None:
        mine, other = await bank.open("mine"), await bank.open("other")
        await mine.book(Entry(10, "wages"))
        await mine.transfer(4, to=other)
        assert (await mine.balance(), await other.balance()) == (6, 4)
        assert await mine.history(2) == [Entry(10, "wages"), Entry(-4, "to")]
        with pytest.raises(NotFound, match="not so much money"):
            await mine.transfer(7, other)

    play(domain, domains, story)


def test_what_was_derived_or_opened_ends_with_its_origin_and_stays_closed(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, bank: Bank) -> None:
        mine = await bank.open("mine")
        lent = await mine.derive()
        again = await lent.derive()
        await again.book(Entry(1, ""))
        await mine.revoke()
        for closed in (lent, again):
            with pytest.raises(Gone):
                await closed.balance()
        assert await mine.balance() == 1
        await mine.drop()
        fresh = await bank.open("mine")
        assert await fresh.balance() == 1

    server = play(domain, domains, story)
    assert server.bank.accounts["mine"].is_closed


def test_what_was_opened_through_a_cap_outlives_it_and_ends_with_what_it_came_from(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, bank: Bank) -> None:
        mine = await bank.open("mine")
        lent = await mine.derive()
        again = await lent.derive()
        await lent.drop()
        assert await again.balance() == 0
        with pytest.raises(Gone):
            await lent.balance()
        await mine.revoke()
        with pytest.raises(Gone):
            await again.balance()

    play(domain, domains, story)


def test_a_request_that_waits_does_not_keep_others_waiting(domain: Any, domains: Any) -> None:
    seen: list[int] = []

    async def patient(pd: PD, connection: Connection, bank: Bank) -> None:
        seen.append(await (await bank.open("joint")).wait_for(5))

    async def impatient(pd: PD, connection: Connection, bank: Bank) -> None:
        with pytest.raises(Busy):
            await (await bank.open("joint")).wait_for(7)

    async def earner(pd: PD, connection: Connection, bank: Bank) -> None:
        account = await bank.open("joint")
        for _ in range(3):
            await account.book(Entry(2, "wages"))

    play(domain, domains, patient, impatient, earner)
    assert seen == [6]


def test_a_foreign_cap_arrives_in_a_slot_of_its_own_and_an_unwanted_one_is_deleted(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, bank: Bank) -> None:
        assert await bank.keep(Cap(OWN_CNODE)) == 1
        assert await bank.keep(Cap(OWN_CNODE)) == 2
        mine: Any = await bank.open("mine")
        with pytest.raises(Malformed, match="not to something else"):
            await bank.keep(mine.cap)
        account = operations_of(Account)[1]
        answer = await pd.sys.call(BASE_ENDPOINT_CAP, Message(account.label, (), (OWN_CNODE,)))
        assert answer.label == Malformed("").label

    server = play(domain, domains, story)
    assert len(set(server.bank.safe)) == 2


def test_foreign_caps_of_refused_requests_do_not_fill_the_server(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, bank: Bank) -> None:
        mine: Any = await bank.open("mine")
        for _ in range(120):
            with pytest.raises(NotFound):
                await mine.transfer(1, OWN_CNODE)
        assert await bank.keep(Cap(OWN_CNODE)) == 1

    play(domain, domains, story)


def test_foreign_caps_beside_what_is_missing_or_wrong_do_not_fill_the_server(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, bank: Bank) -> None:
        mine: Any = await bank.open("mine")
        pledge = operations_of(Bank)[3].label
        # Through a cap that takes caps along: no account at all, two foreign caps, and the bank in place of an account.
        for others in ((), (OWN_CNODE,), (BASE_ENDPOINT_CAP + BANK,)):
            for _ in range(100):
                caps = (OWN_CNODE, *others)
                answer = await pd.sys.call(BASE_ENDPOINT_CAP + BANK, Message(pledge, (), caps))
                assert answer.label == Malformed("").label
        assert await bank.pledge(Cap(OWN_CNODE), mine) == 1

    play(domain, domains, story)


def test_nobody_opens_more_than_the_limit(domain: Any, domains: Any) -> None:
    async def greedy(pd: PD, connection: Connection, bank: Bank) -> None:
        opened = [await bank.open(f"{n}") for n in range(5)]
        with pytest.raises(QuotaExceeded):
            await bank.open("one more")
        await opened[0].drop()
        await bank.open("one more")

    async def modest(pd: PD, connection: Connection, bank: Bank) -> None:
        await bank.open("mine")

    play(domain, domains, greedy, modest, limit=5)


def test_what_does_not_fit_is_said_and_nothing_is_sent(domain: Any, domains: Any) -> None:
    async def story(pd: PD, connection: Connection, bank: Bank) -> None:
        mine = await bank.open("mine")
        for _ in range(3):
            await mine.book(Entry(1, "x" * 600))
        with pytest.raises(TooLarge):
            await mine.history(3)
        careless: Any = bank
        with pytest.raises(TypeError, match="also takes name"):
            await careless.open()

    play(domain, domains, story)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(hostile_requests(Account) | hostile_requests(Bank), min_size=20, max_size=40))
def test_no_request_kills_the_server(domain: Any, domains: Any, requests: list[Message]) -> None:
    async def fuzz(pd: PD, connection: Connection, bank: Bank) -> None:
        account = await bank.open("mine")
        assert isinstance(account, Stub)
        for request in requests:
            if request.label & 0xFF != 5:
                for cap in (account.cap, BASE_ENDPOINT_CAP + BANK):
                    await pd.sys.call(cap, Message(request.label, request.words))
        with pytest.raises(Failure):
            await bank.open("")

    play(domain, domains, fuzz)


OPERATIONS = [*operations_of(Account).values(), *operations_of(Bank).values()]


@pytest.mark.parametrize("each", OPERATIONS, ids=lambda each: each.name)
@given(data=st.data())
def test_arguments_arrive_as_they_were_sent(each: Any, data: st.DataObject) -> None:
    values = data.draw(arguments_of(each))
    caps = {parameter.name: 1 for parameter in each.caps}
    bound = bind(each, (), {**values, **caps})
    message = _run(pack_request(each, bound, None))
    assert _run(unpack_request(each, message, None)) == values
    assert list(message.words) == to_words(each.request(**values))


def _run(awaitable: Any) -> Any:
    try:
        next(steps_of(awaitable))
    except StopIteration as end:
        return end.value
    raise AssertionError("this makes no system call")


def test_an_interface_that_cannot_be_is_refused() -> None:
    with pytest.raises(TypeError, match="the same number 60001"):
        type("Thief", (Interface,), {}, number=60001)

    class Bad(Interface, number=60003):
        @operation(1)
        async def ask(self, what: object) -> int:
            return 0

    with pytest.raises(TypeError, match=r"Bad\.ask, what: .*object.* cannot travel"):
        operations_of(Bad)
