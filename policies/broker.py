"""The broker: hands out caps to services as policies decide, and takes them back (``protocols.brokering``).

    desk      the order in which things are done     council   the policies that are servers of their own
    ledger    what is written down        office   the book of grants, and the policies
    vault     the caps                    rules    the policies as a file

Who asks is known by the channel, whose name the table ``subjects`` of ``names`` has. The table ``services`` names the
broker's own caps, from slot ``FIRST_SERVICE`` on, and ``interfaces`` says what each of them speaks. They are no
channels, since through those no caps could be handed over.

The table ``policies`` names the channels of policy servers, if there are any; each must allow what is asked.

The ledger and the slots of caps last (``lasts`` in the description). Objects of clients do not: a client whose
``Grant`` answers ``Gone`` finds his grants again by ``Broker.grants`` and ``take``.
"""

from typing import Any, Final

from capkernel.protocols.audit import Audit
from capkernel.protocols.brokering import Broker, Grant, GrantInfo, Policy, PolicyControl, Verdict
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import Console
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import Gone, Malformed, NotFound
from capkernel.protocols.files import Directory, File
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.lasting import Slots
from capkernel.protocols.log import Log
from capkernel.protocols.names import NameSpace
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import read_channel_names
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from policies.council import Council, fitting
from policies.desk import Desk
from policies.ledger import Ledger
from policies.office import Entry
from policies.vault import Offer, Vault

TIMER, SUPERVISOR, CLIENTS, AUDIT, OPERATOR, POLICIES = 0, 1, range(2, 30), 40, 41, range(42, 50)
"""Channels; the timer signals its own."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
FIRST_SERVICE: Final = 310
KEPT_SLOTS: Final = Slots(cnode=302, address=1 << 58, count=256)
"""The granted CNode for caps of grants: in slot 302, at 1."""
INTERFACES: Final = {
    each.__name__: each for each in (Directory, File, Console, Log, Entropy, RealTimeClock, NameSpace)
}  # fmt: skip
LIST_BYTES: Final = 760
"""Of grants or reasons in one answer."""


class NamesError(ValueError):
    """The tables of names say what cannot be; says what."""


class Counter:
    """What clients are served at: the desk, and an object for each grant that somebody holds a cap to."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.service: Any = None
        self.grants: dict[int, GrantServant] = {}

    def grant(self, entry: Entry) -> "GrantServant":
        """The object of a grant; there is one, however often it is asked for."""
        return self.grants.setdefault(entry.number, GrantServant(self, entry.number))

    def listed(self, after: int, subject: str | None) -> list[GrantInfo]:
        """Grants with higher numbers, of a subject or of all, as many as fit."""
        if after < 0:
            raise Malformed(f"grants have numbers from 1 on, not {after}")
        room, found = LIST_BYTES, []
        ledger = self.desk.ledger
        infos = [entry.info for entry in ledger.office.entries.values()]
        infos += [offer.info for offer in ledger.offers.values()]
        for info in sorted(infos, key=lambda info: info.number):
            if info.number <= after or subject not in (None, info.subject):
                continue
            room -= 8 * 8 + sum(len(text.encode()) + 8 for text in (info.subject, info.service, info.purpose))
            if room < 0:
                break
            found.append(info)
        return found

    def close(self) -> None:
        """Close the objects of grants that are over."""
        for number in self.desk.ended:
            servant = self.grants.pop(number, None)
            if servant is not None:
                self.service.revoke(servant)
        self.desk.ended.clear()


class GrantServant(Grant):
    """A grant, for its holder."""

    def __init__(self, counter: Counter, number: int) -> None:
        self.counter = counter
        self.which = number

    async def access(self) -> Cap:
        """The cap."""
        return await self.counter.desk.access(self.which)

    async def info(self) -> GrantInfo:
        """What it is."""
        return self.counter.desk.entry(self.which).info

    async def delegate(self, subject: str, rights: int, purpose: str, duration_us: int) -> None:
        """Offer it to another."""
        await self.counter.desk.offer(self.which, subject, rights, purpose, duration_us)

    async def closed(self) -> None:
        """Nobody has a cap to it: it is given up."""
        self.counter.grants.pop(self.which, None)
        if self.which in self.counter.desk.ledger.office.entries:
            await self.counter.desk.end(self.which, "it was given up")


class BrokerServant(Broker):
    """The broker, for one subject."""

    def __init__(self, counter: Counter, subject: str) -> None:
        self.counter = counter
        self.subject = subject

    async def request(self, service: str, rights: int, purpose: str, duration_us: int) -> Grant:
        """Ask for a service."""
        entry = await self.counter.desk.request(self.subject, service, rights, purpose, duration_us)
        return self.counter.grant(entry)

    async def explain(self, service: str, rights: int, purpose: str, duration_us: int) -> Verdict:
        """What would be answered."""
        verdict = await self.counter.desk.explain(self.subject, service, rights, purpose, duration_us)
        return Verdict(verdict.allowed, fitting(verdict.reasons, LIST_BYTES))

    async def services(self) -> list[str]:
        """What there is."""
        return sorted(self.counter.desk.vault.offers)

    async def grants(self, after: int) -> list[GrantInfo]:
        """What this subject has."""
        return self.counter.listed(after, self.subject)

    async def take(self, number: int) -> Grant:
        """One of them."""
        if number < 0:
            raise Malformed(f"grants have numbers from 1 on, not {number}")
        desk = self.counter.desk
        entry = desk.ledger.office.entries.get(number)
        if entry is None:
            entry = await desk.accept(self.subject, number)
        if entry.question.subject != self.subject:
            raise NotFound(f"{self.subject} has no grant {number}")
        return self.counter.grant(entry)

    async def approve(self, subject: str, service: str, rights: int) -> None:
        """Say that another may have it."""
        await self.counter.desk.approve(self.subject, subject, service, rights)


class ControlServant(PolicyControl):
    """The broker, for whoever answers for the policy."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    async def grants(self, after: int) -> list[GrantInfo]:
        """What all have."""
        return self.counter.listed(after, None)

    async def take_back(self, number: int) -> int:
        """End a grant."""
        try:
            return await self.counter.desk.end(number, "it was taken back")
        except Gone:
            raise NotFound(f"there is no grant {number}") from None

    async def change(self, rules: str) -> int:
        """Other rules."""
        return await self.counter.desk.change(rules)


def read_offers(text: str) -> dict[str, Offer]:
    """The services by name. Raises NamesError, ChannelNameError."""
    spoken = read_channel_names(text, "interfaces")
    found: dict[str, Offer] = {}
    for number, name in read_channel_names(text, "services").items():
        if spoken.get(number) not in INTERFACES:
            raise NamesError(f"service {name} speaks {spoken.get(number)}; it must be one of {', '.join(INTERFACES)}")
        if name in found:
            raise NamesError(f"two services are called {name}")
        found[name] = Offer(INTERFACES[spoken[number]], FIRST_SERVICE + number)
    return found


class Program:
    """The server."""

    names: int = 0
    names_size: int = 0x1000
    rules: int = 0
    rules_size: int = 0x1000
    ledger: int = 0
    ledger_size: int = 0x4_0000
    operator_region: int = 0
    operator_region_size: int = 0x1000
    """Memory that is shared with whoever answers for the policy: rules do not fit into a message."""
    desk = Desk

    def __init__(self) -> None:
        self.counter: Any = None
        self.roots: dict[int, Interface] = {}
        self.policies: dict[int, str] = {}

    async def init(self, pd: PD) -> None:
        """Go on with what was granted; first take back what should not be there."""
        text = await _text(pd, self.names, self.names_size)
        subjects = {ch: name for ch, name in read_channel_names(text, "subjects").items() if ch in CLIENTS}
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        book = Ledger(SharedRegion(self.ledger, self.ledger_size))
        await book.open(await _text(pd, self.rules, self.rules_size))
        timer = connect(Timer, Connection(pd.sys), BASE_ENDPOINT_CAP + TIMER)
        audit = connect(Audit, Connection(pd.sys), BASE_ENDPOINT_CAP + AUDIT)
        self.policies = {ch: name for ch, name in read_channel_names(text, "policies").items() if ch in POLICIES}
        council = Council(
            {name: connect(Policy, Connection(pd.sys), BASE_ENDPOINT_CAP + ch) for ch, name in self.policies.items()}
        )
        desk = self.desk(book, Vault(inbox, KEPT_SLOTS, read_offers(text)), audit, timer, subjects, council)
        self.counter = Counter(desk)
        self.roots = {channel: BrokerServant(self.counter, subject) for channel, subject in subjects.items()}
        self.roots[OPERATOR] = ControlServant(self.counter)
        shared = SharedRegion(self.operator_region, self.operator_region_size)
        regions = {OPERATOR: shared} if self.operator_region else {}
        self.counter.service = Service(pd, roots=self.roots.get, endpoint=ENDPOINT, inbox=inbox, regions=regions)
        await self.counter.service.open()
        await desk.clean_up()

    async def notified(self, pd: PD, ch: int) -> None:
        """Somebody's time is over, the supervisor wants a sign of life, or a policy server has other rules."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
        if ch in self.policies:
            self.counter.desk.council.look_again(self.policies[ch])
        await self.counter.desk.tick()
        self.counter.close()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        answer = await self.counter.service.protected(msg)
        self.counter.close()
        return answer


async def _text(pd: PD, start: int, size: int) -> str:
    """A file that the description has put into memory."""
    return (await pd.read(start, size)).rstrip(b"\0").decode()
