"""Servers of the system that give way to others: names, log, audit trail, memory, pages. What cannot be is refused."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import Failure, QuotaExceeded
from capkernel.protocols.given import GivenCap
from capkernel.protocols.interface import Interface
from capkernel.protocols.log import Level, LogEntry
from capkernel.protocols.memory import PAGE, Use
from capkernel.protocols.paging import Lost
from capkernel.protocols.service import Service
from capkernel.protocols.usage import Consumed
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.kept import Kept
from capkernel.user.messages import from_words, to_words
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from servers.system import audit_server, log_server, memory_server, name_server, name_table, pager
from servers.system.accounts import Book
from servers.system.audit_server import AuditServant, KeptAudit, keep_audit, restore_audit
from servers.system.log_server import BURST, INTERVAL, Author, Journal, KeptLog, LogFile, keep_log, restore_log
from servers.system.memory_server import Bank, KeptHoldings, keep_holdings, restore_holdings
from servers.system.name_server import Holder, KeptNames, SpaceServant, keep_names, restore_names
from servers.system.name_table import MAX_NAMES, Account, Held, Space, View, WrittenEntry, WrittenSpace
from servers.system.page_table import PageTable, Pool, SegmentRow
from servers.system.pager import KeptSegments, SegmentServant, keep_segments, restore_segments
from servers.system.rate import Rate
from servers.system.usage_server import KeptSums, UsageServant
from tests.servers.fakedisk import FakeDisk
from tests.servers.update_bench import Lasting

RUN = FakeDisk(8).run


def handed_over(value: Any) -> Any:
    """The same after it was written down and read back."""
    again = from_words(type(value), to_words(value))
    assert again == value
    return again


def service_of(life: int, roots: Any) -> Service:
    return Service(Lasting().pd(life), roots=roots)


def given_out(service: Service, badge: int, servant: Interface, *, is_derived: bool = False) -> int:
    """A cap to a servant, below another; by badge."""
    return service._add(servant, service._find(badge), is_derived=is_derived).badge


# Names

NAMES = st.sampled_from(["a", "b", "c"])
NAME_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("bind"), st.integers(0, 9), NAMES),
        st.tuples(st.just("unbind"), st.integers(0, 9), NAMES),
        st.tuples(st.just("attach"), st.integers(0, 9), NAMES, st.integers(0, 9)),
        st.tuples(st.just("enter"), st.integers(0, 9), NAMES),
        st.tuples(st.just("fork"), st.integers(0, 9), st.lists(NAMES, max_size=2)),
        st.tuples(st.just("restrict"), st.integers(0, 9), st.lists(NAMES, max_size=2), st.booleans()),
        st.tuples(st.just("drop"), st.integers(2, 9)),
    ),
    max_size=16,
)


class NameServer:
    """A name server whose clients' requests are made by hand; ``badges`` are their caps, the first two their own."""

    def __init__(self, lasting: Lasting, life: int = 1, badges: list[int] | None = None) -> None:
        self.lasting = lasting
        pd = lasting.pd(life, "names")
        self.holder = Holder(pd, Inbox(pd.sys, SlotAllocator(name_server.OWN_CNODE, 400, 500)), None)
        self.service = Service(pd, roots=self._root)
        self.badges = badges or [2, 3]

    def _root(self, session: int) -> Interface | None:
        return SpaceServant(self.holder, View(self.holder.ground(session))) if session in (2, 3) else None

    def do(self, number: int, name: str, which: int, *args: Any) -> Any:
        badge = self.badges[which % len(self.badges)]
        try:
            entry = self.service._find(badge)
            if name == "drop":
                self.service._lift(entry)
                closed = self.service._close(entry) if entry.number else []
                return self.lasting.run(self.service._tell_closed(closed))
            if name == "bind":
                slot = self.holder.inbox.slots.alloc()
                self.lasting.caps[name_server.OWN_CNODE, slot] = f"cap {number}"
                args = (*args, slot)
            if name == "attach":
                args = (args[0], self.service.servant(self.badges[args[1] % len(self.badges)]))
            result = self.lasting.run(getattr(entry.servant, name)(*args))
        except Failure as failure:
            return type(failure)
        if isinstance(result, Interface):
            self.badges.append(self.service._add(result, entry).badge)
            return "a name space"
        return result

    def seen(self) -> Any:
        """What each cap shows, down to the caps that are held."""
        found = []
        for badge in self.badges:
            try:
                found.append(self._shown(self.service.servant(badge).view))
            except Failure as failure:
                found.append(type(failure))
        return found, {channel: space.account.names for channel, space in sorted(self.holder.grounds.items())}

    def _shown(self, view: View) -> Any:
        entries = {}
        for name, each in view.space.entries.items():
            if view.shows(name):
                held = self.lasting.caps.get((name_server.HELD_CNODE, each.slot)) if isinstance(each, Held) else None
                entries[name] = self._shown(each) if isinstance(each, View) else held
                assert entries[name] is not None, "a name leads nowhere"
        return view.names, view.is_writable, entries

    def next_life(self) -> "NameServer":
        kept = handed_over(keep_names(self.holder, self.service))
        after = NameServer(self.lasting, self.service.pd.life + 1, list(self.badges))
        restore_names(kept, after.holder, after.service)
        return after


@settings(max_examples=120, deadline=None)
@given(st.lists(NAME_STEPS, min_size=1, max_size=3))
def test_all_names_and_all_name_spaces_survive_with_what_they_show_and_what_they_cost(parts: list[Any]) -> None:
    stayed, moving = NameServer(Lasting()), NameServer(Lasting())
    number = 0
    for part in parts:
        for step in part:
            number += 1
            assert stayed.do(number, *step) == moving.do(number, *step), step
        assert moving.seen() == stayed.seen()
        moving = moving.next_life()
        stayed.service.pd.life += 1
        stayed.service._next_number, stayed.service._end_number = moving.service._next_number, 1 << 62
        assert moving.seen() == stayed.seen()
        assert moving.holder.taken == stayed.holder.taken
    for each in (stayed, moving):
        for number in range(2, len(each.badges)):
            each.do(number, "drop", number)
    assert moving.holder.taken == stayed.holder.taken, "what nobody can reach any more is given up by both"


def _one_space(*entries: WrittenEntry, channel: int = 2) -> KeptNames:
    return KeptNames(name_table.Written([WrittenSpace(channel, True, list(entries))]), [], [])


def _entry(name: str = "a", slot: int = 0, space: int = 0) -> WrittenEntry:
    return WrittenEntry(name, slot, space, True, [], True)


@pytest.mark.parametrize("kept", [
    _one_space(_entry(space=0)),
    _one_space(_entry(space=5)),
    _one_space(_entry(slot=1), _entry(slot=2)),
    _one_space(_entry("a/b", slot=1)),
    _one_space(_entry(slot=1 << 20)),
    _one_space(_entry(slot=1), channel=50),
    _one_space(*(_entry(f"n{number}", slot=1 + number) for number in range(MAX_NAMES + 1))),
    KeptNames(name_table.Written([WrittenSpace(2, True, [])] * 2), [], []),
    KeptNames(name_table.Written([WrittenSpace(2, False, [_entry(space=number)]) for number in (1, 0)]), [], []),
    KeptNames(name_table.Written([]), [_entry()], []),
    KeptNames(name_table.Written([]), [], [GivenCap(1 << 23 | 1, 2, 0, False, 0)]),
], ids=lambda kept: f"{len(kept.names.spaces)} spaces")  # fmt: skip
def test_names_that_no_server_can_have_left_are_refused(kept: KeptNames) -> None:
    server = NameServer(Lasting(), 2)
    with pytest.raises((ValueError, Failure)):
        restore_names(kept, server.holder, server.service)
    assert Account().names == 0
    assert Space(Account()).users == 0


# Log


class LogServer:
    def __init__(self, volume: RamVolume, life: int = 1) -> None:
        self.ticks = 1000
        self.journal = Journal(self, LogFile(Tree(volume).root_directory()))
        self.authors = {channel: Author(f"author{channel}", Rate(BURST, INTERVAL)) for channel in (2, 3)}
        self.servants = {channel: log_server.LogServant(self.journal, each) for channel, each in self.authors.items()}
        self.reader = log_server.ReaderServant(self.journal)
        roots: dict[int, Interface] = {**self.servants, 30: self.reader}
        self.service = service_of(life, roots.get)
        self.journal.number = RUN(self.journal.file.open())

    async def clock(self) -> int:
        return self.ticks


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([2, 3]), st.text(max_size=30)), max_size=90))
def test_the_log_goes_on_with_numbers_entries_rates_and_authors(entries: list[tuple[int, str]]) -> None:
    volume = RamVolume(1 << 22)
    before = LogServer(volume)
    below = RUN(RUN(before.servants[3].named("one")).named("two"))
    badges = [given_out(before.service, 3, below), given_out(before.service, 30, before.reader, is_derived=True)]
    refused = 0
    for channel, text in entries:
        try:
            RUN(before.servants[channel].append(Level.INFO, text))
        except QuotaExceeded:
            refused += 1
    RUN(before.journal.file.give_up())
    kept = handed_over(keep_log(before.journal, before.authors, before.service))
    after = LogServer(volume, 2)
    RUN(restore_log(kept, after.journal, after.authors, after.service))
    assert list(after.journal.remembered) == list(before.journal.remembered)
    assert after.journal.number == before.journal.number
    for channel in (2, 3):
        assert evolve_rate(after.authors[channel].rate) == evolve_rate(before.authors[channel].rate)
    log, reader = (after.service.servant(badge) for badge in badges)
    assert log.author.name == "author3/one/two"
    assert log.author.rate is after.authors[3].rate, "another name is no new rate"
    after.ticks += INTERVAL * (BURST + 1)
    number = RUN(log.append(Level.WARNING, "after"))
    assert number > before.journal.number
    assert RUN(reader.tail(1))[0].author == "author3/one/two"
    content = RUN(volume.read("log.0", 0, 1 << 22)).decode().splitlines()
    assert [int(line.split()[0]) for line in content] == list(range(1, after.journal.number + 1))


def evolve_rate(rate: Rate) -> tuple[Any, ...]:
    return rate.left, rate.filled_at, rate.refused


_LOG = KeptLog(1, 0, [LogEntry(1, 0, Level.INFO, "author2", "x")], [], [], [])


@pytest.mark.parametrize("kept", [
    evolve(_LOG, number=3),
    evolve(_LOG, entries=[*_LOG.entries, *_LOG.entries], number=1),
    evolve(_LOG, missing=-1),
    evolve(_LOG, rates=[log_server.KeptRate(2, Rate(1, 1, left=5))]),
    evolve(_LOG, objects=[log_server.KeptAuthor(9, [])]),
    evolve(_LOG, objects=[log_server.KeptAuthor(2, ["no name"])]),
    evolve(_LOG, objects=[log_server.KeptAuthor(2, ["n"] * 9)]),
    evolve(_LOG, caps=[GivenCap(1 << 23 | 1, 2, 0, False, 0)]),
], ids=str)  # fmt: skip
def test_a_log_that_no_server_can_have_left_is_refused(kept: KeptLog) -> None:
    server = LogServer(RamVolume(1 << 16), 2)
    with pytest.raises((ValueError, Failure)):
        RUN(restore_log(kept, server.journal, server.authors, server.service))


# Audit


def test_who_may_write_no_more_records_cannot_after_an_update_either() -> None:
    auditor: Any = None
    before = {2: AuditServant(auditor, "a"), 3: AuditServant(auditor, "b"), 30: audit_server.ReaderServant(auditor)}
    service = service_of(1, before.get)
    badges = [given_out(service, 2, before[2], is_derived=True), given_out(service, 30, before[30])]
    before[2].rate.left, before[2].rate.filled_at = 0, 77
    kept = handed_over(keep_audit(before, service))
    after = {2: AuditServant(auditor, "a"), 3: AuditServant(auditor, "b"), 30: audit_server.ReaderServant(auditor)}
    service = service_of(2, after.get)
    restore_audit(kept, after, service)
    assert not after[2].rate.take(77)
    assert after[3].rate.take(77)
    assert [service.servant(badge) for badge in badges] == [after[2], after[30]]
    for wrong in (
        KeptAudit([audit_server.KeptWriter(2, Rate(4, 1, left=-1))], [], []), KeptAudit([], [7], []),
        KeptAudit([], [2], [GivenCap(1 << 23 | 9, 2, 0, False, 1)]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            restore_audit(wrong, after, service)


# Usage


def test_sums_go_on_and_a_domain_that_was_not_there_begins_at_nothing() -> None:
    servant = UsageServant(Lasting().pd(1).sys, {10: "disk", 11: "files"})
    servant.sums = {10: 500, 11: 70}
    kept = handed_over(servant.kept())
    after = UsageServant(Lasting().pd(2).sys, {11: "disk", 12: "new"})
    RUN(after.take_up(kept))
    assert after.sums == {11: 500, 12: 0}
    for sums in ([Consumed("a", -1)], [Consumed("a", 1), Consumed("a", 2)]):
        with pytest.raises(ValueError, match="no sums"):
            RUN(after.take_up(KeptSums(sums)))


# Memory, pages


def bank_of(book: Book, life: int) -> tuple[Bank, Service]:
    bank = Bank(memory_server.Pages(Lasting().pd(life).sys, book.pages), Kept(Lasting().region), book)

    def root(session: int) -> Interface | None:
        row = book.root(session)
        return None if row is None else bank.account(row.id)

    bank.service = service_of(life, root)
    return bank, bank.service


def test_caps_to_accounts_and_memory_lead_where_they_led() -> None:
    book = Book(16)
    book.found({2: 8, 3: 8})
    bank, service = bank_of(book, 1)
    row = book.allocate(book.root(2).id, 1, 2 * PAGE, Use.FRAMES)
    part = book.split(book.root(2).id, 1, 3 * PAGE)
    badges = [given_out(service, 2, bank.memory(row.id)), given_out(service, 2, bank.account(part.id))]
    kept = handed_over(keep_holdings(service))
    after, service = bank_of(Book.decode(book.encode()), 2)
    restore_holdings(kept, after, service)
    assert RUN(service.servant(badges[0]).size()) == 2 * PAGE
    assert RUN(service.servant(badges[1]).info()).quota == 3 * PAGE
    assert service.servant(2) is after.account(book.root(2).id), "there is one servant of an account"
    for wrong in (memory_server.KeptHolding(True, row.id + 99), memory_server.KeptHolding(False, part.id + 99)):
        with pytest.raises(ValueError, match="there is no"):
            restore_holdings(KeptHoldings([wrong], []), after, service)


def test_a_segment_that_somebody_has_outlives_the_pager_and_one_that_nobody_has_does_not() -> None:
    def paging_of(life: int) -> Any:
        paging = pager.Paging(Lasting().pd(life))
        paging.table.pools[1] = Pool(1, 2)
        for number in (2, 3):
            paging.table.segments[number] = SegmentRow(number, 1, 3, [-1])
        return paging

    assert PageTable().segments == {}
    before = paging_of(1)
    service = service_of(1, lambda session: pager.PagerServant(before, 3))
    badge = given_out(service, 3, SegmentServant(before, 2))
    before.lost = [Lost(7, 1, [2, 3])]
    kept = handed_over(keep_segments(before, service))
    after = paging_of(2)
    service = service_of(2, lambda session: pager.PagerServant(after, 3))
    restore_segments(kept, after, service)
    assert service.servant(badge).id == 2
    assert after.held == {2}, "3 is released"
    assert after.lost == before.lost
    for wrong in (pager.KeptObject(pager.SEGMENTS, 9), pager.KeptObject(7, 0)):
        with pytest.raises(ValueError, match=r"."):
            restore_segments(KeptSegments([wrong], [], []), after, service)
