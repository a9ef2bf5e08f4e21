"""The log: nobody writes in another's name, nor so much that others are not seen; the file says what is missing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import DeviceError, Malformed, QuotaExceeded, TooLarge
from capkernel.protocols.log import MAX_TEXT, Level
from capkernel.user.channel_names import ChannelNameError, read_channel_names
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from servers.system import log_server
from servers.system.log_server import BURST, INTERVAL, Author, Journal, LogFile, LogServant, ReaderServant
from servers.system.rate import Rate
from servers.text import harmless, visible
from tests.servers.fakedisk import FakeDisk

RUN = FakeDisk(8).run


class Clock:
    ticks = 0

    async def clock(self) -> int:
        return self.ticks


class Bench:
    """A log on a volume in memory."""

    def __init__(self, volume: Any = None) -> None:
        self.volume = volume or RamVolume(1 << 22)
        self.clock = Clock()
        self.journal = Journal(self.clock, LogFile(Tree(self.volume).root_directory()))
        self.journal.number = RUN(self.journal.file.open())
        self.reader = ReaderServant(self.journal)

    def author(self, name: str) -> LogServant:
        return LogServant(self.journal, Author(name, Rate(BURST, INTERVAL)))

    def lines(self, name: str = "log.0") -> list[str]:
        return RUN(self.volume.read(name, 0, 1 << 22)).decode().split("\n")[:-1]


def test_entries_are_numbered_named_and_written_through() -> None:
    bench = Bench()
    shell, driver = bench.author("shell"), bench.author("driver")
    assert RUN(shell.append(Level.INFO, "hello")) == 1
    bench.clock.ticks = 12_345
    assert RUN(driver.append(Level.ERROR, "a sector is bad: ä")) == 2
    assert bench.lines() == ["1 0 INFO shell hello", "2 1234 ERROR driver a sector is bad: ä"]
    assert [entry.text for entry in RUN(bench.reader.tail(9))] == ["hello", "a sector is bad: ä"]
    assert [entry.number for entry in RUN(bench.reader.after(1))] == [2]
    job = RUN(RUN(shell.named("job-1")).named("x"))
    RUN(job.append(Level.DEBUG, "deeper"))
    assert RUN(bench.reader.tail(1))[0].author == "shell/job-1/x"


HOSTILE = [
    "ok\n9 0 ERROR kernel boom",
    "\r9 0 INFO root x",
    "\x1b[2J\x1b[1;1H",
    "\u2028\u202e\x85\x00",
    "\\n",
    "\ufeff",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_cannot_pass_for_another_entry_nor_move_a_cursor(text: str) -> None:
    bench = Bench()
    RUN(bench.author("client").append(Level.INFO, text))
    RUN(bench.author("other").append(Level.INFO, "after"))
    assert len(bench.lines()) == 2
    assert bench.lines()[0].startswith("1 0 INFO client ")
    assert all(line.isprintable() for line in bench.lines())
    assert RUN(bench.reader.tail(2))[0].text == text


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_looks_alike_is_alike(one: str, other: str) -> None:
    assert (visible(one) == visible(other)) == (one == other)
    assert visible(one).isprintable()
    assert harmless(one).replace("\n", "").replace("\t", "").isprintable()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "root\n", "x" * 33, "ä", "a\x00"])
def test_a_name_is_no_way_to_another_author(name: str) -> None:
    with pytest.raises(Malformed):
        RUN(Bench().author("client").named(name))


def test_names_are_not_added_for_ever() -> None:
    author = Bench().author("client")
    for _ in range(4):
        author = RUN(author.named("x"))
    with pytest.raises(QuotaExceeded):
        RUN(author.named("x"))


def test_who_floods_is_refused_and_others_are_not_and_the_log_says_how_many() -> None:
    bench = Bench()
    loud, quiet = bench.author("loud"), bench.author("quiet")
    alias = RUN(loud.named("alias"))
    refused = 0
    for number in range(5 * BURST):
        try:
            RUN((loud if number % 2 else alias).append(Level.ERROR, "!"))
        except QuotaExceeded:
            refused += 1
    assert refused == 4 * BURST
    assert RUN(quiet.append(Level.INFO, "still heard")) == BURST + 1
    bench.clock.ticks += INTERVAL
    RUN(loud.append(Level.INFO, "once more"))
    with pytest.raises(QuotaExceeded):
        RUN(alias.append(Level.INFO, "and again"))
    assert [entry.text for entry in RUN(bench.reader.tail(3))] == [
        "still heard", f"{refused} entries of loud were refused: too many", "once more",
    ]  # fmt: skip


@given(st.lists(st.integers(0, 30), max_size=200))
def test_a_rate_never_gives_more_than_it_may(pauses: list[int]) -> None:
    rate, now, given_out = Rate(5, 10), 0, 0
    for pause in pauses:
        now += pause
        given_out += rate.take(now)
        assert given_out <= 5 + now // 10
    assert rate.refused == len(pauses) - given_out


def test_long_texts_and_hostile_numbers() -> None:
    bench = Bench()
    with pytest.raises(TooLarge):
        RUN(bench.author("client").append(Level.INFO, "ä" * (MAX_TEXT // 2 + 1)))
    with pytest.raises(Malformed):
        RUN(bench.reader.tail(-1))
    for _ in range(9):
        RUN(bench.author("client").append(Level.INFO, "x" * MAX_TEXT))
    assert len(RUN(bench.reader.tail(1 << 62))) == 1
    assert RUN(bench.reader.after(-5))[0].number == 1
    assert RUN(bench.reader.after(1 << 62)) == []


def test_a_file_that_is_full_is_kept_until_the_other_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_server, "FILE_BYTES", 500)
    bench = Bench()
    for number in range(60):
        RUN(bench.author("client").append(Level.INFO, f"entry {number}"))
    numbers = sorted(int(line.split()[0]) for name in ("log.0", "log.1") for line in bench.lines(name))
    assert numbers == list(range(numbers[0], 61))
    assert len(numbers) > 20
    again = Bench(bench.volume)
    assert RUN(again.author("client").append(Level.INFO, "in the next life")) == 61


class Flaky(RamVolume):
    """Files that fail while ``is_failing``."""

    is_failing = False

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        if self.is_failing:
            raise DeviceError("for a while")
        await super().write(path, offset, data, into_reserve=into_reserve)


@settings(max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_while_the_file_fails_the_log_goes_on_and_says_what_is_missing(failing: list[bool]) -> None:
    bench = Bench(Flaky(1 << 20))
    written = 0
    for fails in failing:
        bench.volume.is_failing = fails
        RUN(bench.author("client").append(Level.INFO, "x"))
        written += not fails
    bench.volume.is_failing = False
    RUN(bench.author("client").append(Level.INFO, "x"))
    lines = bench.lines()
    missing = sum(int(line.split()[4]) for line in lines if line.endswith("are missing here"))
    assert sum(" client x" in line for line in lines) == written + 1
    assert missing == len(failing) - written
    assert [int(line.split()[0]) for line in lines] == sorted({int(line.split()[0]) for line in lines})


def test_after_a_crash_numbers_go_on_and_a_torn_line_is_ended() -> None:
    bench = Bench()
    RUN(bench.author("client").append(Level.INFO, "one"))
    RUN(bench.volume.write("log.0", len(bench.lines()[0]) + 1, b"2 0 INFO client tw"))
    again = Bench(bench.volume)
    assert RUN(again.author("client").append(Level.INFO, "three")) == 3
    assert again.lines() == ["1 0 INFO client one", "2 0 INFO client tw", "3 0 INFO client three"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("[[", "no TOML"), ("[log]\nx = 'a'", "no channel"), ("[log]\n62 = 'a'", "no channel"), ("log = 3", "no table"),
     ("[log]\n3 = 'a b'", "is no name"), ("[log]\n3 = 4", "is no name")],
)  # fmt: skip
def test_a_wrong_table_of_names_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ChannelNameError, match=complaint):
        read_channel_names(text, "log")
    assert read_channel_names("[log]\n3 = 'a'\n[files]\n4 = 'b'", "log") == {3: "a"}
