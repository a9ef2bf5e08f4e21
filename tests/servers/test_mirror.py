"""One disk made of two: nothing that was acknowledged is lost though one of them fails, lies or loses power."""

import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import Corrupt, DeviceError
from capkernel.protocols.mirror_label import REMEMBERED, Label, State, is_behind, read_label
from servers.storage.mirror import PIECE
from servers.storage.mirror_layout import FIRST, MEMBERS, SPAN, place_of
from servers.storage.mirror_notes import Notes
from servers.storage.mirror_status import MirrorStatus, Stage
from tests.servers.mirror_bench import LIES, Killed, MirrorBench

SECTORS = 3 * MEMBERS
STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, SECTORS - 1), st.integers(1, 20)),
    st.tuples(st.just("write"), st.integers(0, 7), st.integers(1, 3)),
    st.tuples(st.just("read"), st.integers(0, SECTORS - 1), st.integers(1, 20)),
    st.tuples(st.just("flush"), st.just(0), st.just(0)),
    st.tuples(st.just("beat"), st.just(0), st.just(0)),
    st.tuples(st.just("start"), st.just(0), st.just(0)),
    st.tuples(st.just("kill"), st.integers(0, SECTORS - 1), st.integers(1, 20)),
)
HISTORIES = st.lists(STEPS, max_size=30)
OLD, NEW = b"o" * SECTOR, b"n" * SECTOR
SURVIVORS = st.lists(st.booleans(), min_size=1, max_size=30)


class Expected:
    """What may be in each sector: now, and after a loss of power. What was read once ``stays``, if it should."""

    def __init__(self) -> None:
        self.stays = True
        self.now: dict[int, set[bytes]] = defaultdict(lambda: {bytes(SECTOR)})
        self.after_a_cut: dict[int, set[bytes]] = defaultdict(lambda: {bytes(SECTOR)})

    def wrote(self, sector: int, data: bytes, *, surely: bool = True) -> None:
        for index in range(len(data) // SECTOR):
            content = data[index * SECTOR : (index + 1) * SECTOR]
            self.now[sector + index] = {content} | (set() if surely else self.now[sector + index])
            self.after_a_cut[sector + index] = self.after_a_cut[sector + index] | {content}

    def flushed(self) -> None:
        self.after_a_cut.clear()
        self.after_a_cut.update({sector: set(contents) for sector, contents in self.now.items()})

    def cut(self) -> None:
        self.now.clear()
        self.now.update({sector: set(contents) for sector, contents in self.after_a_cut.items()})

    def check(self, sector: int, data: bytes) -> None:
        for index in range(len(data) // SECTOR):
            content = data[index * SECTOR : (index + 1) * SECTOR]
            assert content in self.now[sector + index], f"sector {sector + index}"
            if self.stays:
                self.now[sector + index] = {content}


class History:
    """Steps done with a mirror, and what is expected of it."""

    def __init__(self, seed: int = 0) -> None:
        self.bench = MirrorBench()
        self.bench.open()
        self.expected = Expected()
        self.chance = random.Random(seed)

    def do(self, step: tuple[str, int, int]) -> None:
        what, sector, count = step
        count = min(count, SECTORS - sector)
        if what == "read":
            self.expected.check(sector, self.bench.read(sector, count))
        elif what == "flush":
            self.bench.flush()
            self.expected.flushed()
        elif what == "beat":
            self.bench.run(self.bench.mirror.look_on())
        elif what == "start":
            self.bench.open()
        else:
            self._write(sector, self.chance.randbytes(count * SECTOR), kills=what == "kill")

    def _write(self, sector: int, data: bytes, *, kills: bool) -> None:
        most = self.chance.randrange(30) if kills else 1 << 30
        try:
            self.bench.run(self.bench.mirror.write(sector, data), most)
        except (DeviceError, Killed) as end:
            self.expected.wrote(sector, data, surely=False)
            if isinstance(end, DeviceError):
                raise
            self.bench.open(doubted=(sector, len(data) // SECTOR))
        else:
            self.expected.wrote(sector, data)

    def check_all(self) -> None:
        self.expected.check(0, self.bench.read(0, SECTORS))

    def check_each(self) -> None:
        """Both disks hold everything, once they were compared: each alone is enough."""
        self.bench.open()
        self.bench.look_on()
        assert self.bench.mirror.is_whole
        self.check_all()
        self.bench.flush()
        for side in range(2):
            other = self.bench.disks[1 - side]
            other.failing = True
            self.bench.open()
            self.check_all()
            other.failing = False
            self.bench.open()
            self.bench.look_on()
            assert self.bench.mirror.is_whole


@settings(max_examples=60, deadline=None)
@given(
    HISTORIES, st.integers(0, 1), st.integers(0, 999), st.sampled_from((0.1, 0.4, 0.9)), st.sets(st.sampled_from(LIES))
)
def test_whatever_one_driver_does_the_mirror_answers_as_one_sound_disk(
    steps: list[tuple[str, int, int]], liar: int, seed: int, share: float, lies: set[str]
) -> None:
    history = History(seed)
    history.bench.disks[liar].spoil(seed, tuple(sorted(lies)), share)
    for step in steps:
        history.do(step)
    history.check_all()
    history.bench.disks[liar].lies = ()
    if not any("something else" in text for text in history.bench.said):
        history.check_each()


@settings(max_examples=100, deadline=None)
@given(HISTORIES, HISTORIES, st.integers(0, 60), SURVIVORS, SURVIVORS, st.integers(0, 999))
def test_what_was_flushed_survives_a_loss_of_power_and_the_rest_is_old_or_new(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], writes: int, one: list[bool],
    other: list[bool], seed: int,
) -> None:  # fmt: skip
    history = cut(before, after, writes, seed)
    history.bench.lose_power(one, other)
    history.expected.cut()
    history.check_each()


@settings(max_examples=100, deadline=None)
@given(HISTORIES, HISTORIES, st.integers(0, 40), SURVIVORS, st.integers(0, 511), st.booleans(), st.integers(0, 999))
def test_a_mirror_of_which_one_disk_is_left_keeps_the_same_promises(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], writes: int, some: list[bool], torn: int,
    is_torn: bool, seed: int,
) -> None:  # fmt: skip
    history = History(seed)
    history.bench.disks[0].failing = True
    cut_off(history, before, after, writes)
    if is_torn:
        history.bench.tear((0, 0), (len(some), torn))
    else:
        history.bench.lose_power([False], some)
    history.bench.disks[0].failing = True
    history.expected.cut()
    history.bench.open()
    history.check_all()


@settings(max_examples=60, deadline=None)
@given(
    HISTORIES, HISTORIES, st.integers(1, 60), st.tuples(st.integers(0, 30), st.integers(0, 511)),
    st.tuples(st.integers(0, 30), st.integers(0, 511)), st.integers(0, 999),
)  # fmt: skip
def test_a_sector_that_is_torn_on_both_disks_is_old_or_new(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], writes: int, one: tuple[int, int],
    other: tuple[int, int], seed: int,
) -> None:  # fmt: skip
    history = cut(before, after, writes, seed)
    history.bench.tear(one, other)
    history.expected.cut()
    history.check_each()


@settings(max_examples=60, deadline=None)
@given(HISTORIES, HISTORIES, st.integers(1, 60), SURVIVORS, st.integers(0, 1), st.integers(0, 999))
def test_the_power_goes_while_one_driver_lies(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], writes: int, some: list[bool], liar: int,
    seed: int,
) -> None:  # fmt: skip
    history = cut(before, after, writes, seed, liar)
    history.bench.lose_power(some, some)
    history.expected.cut()
    # What was not flushed a driver may hide now, and show later.
    history.expected.stays = False
    history.bench.open()
    history.check_all()
    history.bench.disks[liar].lies = ()
    if not any("something else" in text for text in history.bench.said):
        history.check_each()


def cut(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], writes: int, seed: int,
    liar: int | None = None,
) -> History:  # fmt: skip
    """A history, in the second half of which the power goes after so many writes and flushes of both disks."""
    history = History(seed)
    if liar is not None:
        history.bench.disks[liar].spoil(seed, LIES)
    cut_off(history, before, after, writes)
    return history


def cut_off(
    history: History, before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], writes: int
) -> None:
    for step in before:
        history.do(step)
    history.do(("flush", 0, 0))
    history.bench.power.left = writes + 1
    try:
        for step in after:
            history.do(step)
    except DeviceError:
        assert history.bench.power.left == 0


@pytest.mark.parametrize("writes", range(45))
def test_a_mirror_whose_making_is_cut_off_is_made_at_the_next_start(writes: int) -> None:
    bench = MirrorBench()
    bench.power.left = writes + 1
    try:
        bench.open()
    except DeviceError:
        bench.lose_power([True, False], [False, True, True])
    bench.power.left = None
    bench.open()
    bench.write(5, b"x" * SECTOR)
    assert bench.read(5, 2) == b"x" * SECTOR + bytes(SECTOR)


def written(*sectors: int) -> MirrorBench:
    """A whole mirror with something in it."""
    bench = MirrorBench(*sectors)
    bench.open()
    bench.look_on()
    bench.write(3, OLD)
    bench.flush()
    return bench


@pytest.mark.parametrize("side", [0, 1])
def test_a_disk_that_stayed_behind_is_never_believed(side: int) -> None:
    bench = written()
    bench.disks[side].failing = True
    bench.write(3, NEW)
    bench.flush()
    bench.lose_power([False], [False])
    bench.disks[side].failing = True
    bench.open()
    assert bench.read(3) == NEW
    bench.disks[side].failing = False
    bench.open()
    assert bench.read(3) == NEW
    bench.run(bench.mirror.look_on())
    bench.flush()
    # It is being written again, and not all of it has been compared: it does not count alone.
    bench.disks[1 - side].failing = True
    with pytest.raises(DeviceError):
        bench.open()
    bench.disks[1 - side].failing = False
    bench.open()
    bench.look_on()
    bench.disks[1 - side].failing = True
    bench.open()
    assert bench.read(3) == NEW


@pytest.mark.parametrize("most", range(6))
def test_what_was_answered_is_there_though_the_next_write_of_it_is_cut_off_by_a_crash(most: int) -> None:
    bench = written()
    bench.disks[0].failing = True
    bench.write(3, NEW)
    bench.disks[0].failing = False
    try:
        bench.run(bench.mirror.write(3, b"later".ljust(SECTOR)), most)
    except Killed:
        bench.open(doubted=(3, 1))
        assert bench.read(3) in (NEW, b"later".ljust(SECTOR))
    else:
        assert most > 1


def cut_short() -> tuple[MirrorBench, bytes, bytes]:
    """A mirror that died when a write had reached disk 0 only; what is there without that write, and with it."""
    bench = written()
    before = bench.disks[0].image()
    with pytest.raises(Killed):
        bench.run(bench.mirror.write(3, NEW), 3)
    after = bench.disks[0].image()
    assert before != after
    assert NEW not in bench.disks[1].image()
    return bench, before, after


def test_a_write_that_was_never_answered_and_is_hidden_does_not_come_back() -> None:
    bench, before, after = cut_short()
    bench.disks[0].become(before)
    bench.open(doubted=(3, 1))
    assert bench.read(3) == OLD
    bench.disks[0].become(after)
    bench.open()
    assert bench.read(3) == OLD


def test_a_write_that_was_never_answered_and_is_hidden_does_not_outdo_a_later_one() -> None:
    bench, before, after = cut_short()
    bench.disks[0].become(before)
    bench.open()
    bench.write(3, b"l" * SECTOR)
    bench.disks[0].become(after)
    bench.open()
    assert bench.read(3) == b"l" * SECTOR


def test_what_a_disk_that_stayed_behind_knows_of_later_versions_does_not_count() -> None:
    bench, _, after = cut_short()
    bench.disks[0].failing = True
    bench.open()
    assert bench.read(3) == OLD
    bench.disks[0].failing = False
    bench.open()
    bench.look_on()
    assert bench.mirror.is_whole
    assert bench.read(3) == OLD
    bench.flush()
    # Nor does it if the disk claims that nothing was written there since.
    bench.disks[0].become(after)
    bench.open()
    assert bench.read(3) == OLD


def joining_cut_off(writes: int) -> MirrorBench:
    """Disk 0 was behind; the power went when all was compared, and the labels were to say so."""
    bench = written()
    bench.disks[0].failing = True
    bench.write(20, NEW)
    bench.disks[0].failing = False
    bench.look_on(2)
    assert not bench.mirror.is_whole
    bench.power.left = writes
    with suppress(DeviceError):
        bench.look_on(1)
    bench.lose_power([True], [True])
    return bench


@pytest.mark.parametrize("writes", range(1, 14))
def test_a_disk_is_believed_alone_only_after_the_other_said_that_they_are_alike(writes: int) -> None:
    bench = joining_cut_off(writes)
    bench.disks[1].failing = True
    try:
        bench.open()
    except DeviceError:
        assert writes < 13
    else:
        assert bench.read(20) == NEW


@pytest.mark.parametrize("writes", range(1, 14))
def test_a_disk_that_is_left_again_when_joining_was_cut_off_is_behind(writes: int) -> None:
    bench = joining_cut_off(writes)
    bench.disks[0].failing = True
    bench.open()
    assert bench.read(20) == NEW
    bench.write(3, NEW)
    bench.flush()
    bench.disks[0].failing = False
    bench.open()
    assert not bench.mirror.copies[0].is_there


@pytest.mark.parametrize("honest", range(3))
def test_a_write_that_is_done_and_denied_is_there_or_not_and_stays_so(honest: int) -> None:
    bench = alone()
    bench.disks[1].spoil(0, ("done and denied",), 1, honest)
    is_denied = False
    try:
        bench.write(3, NEW)
    except DeviceError:
        is_denied = True
    bench.disks[1].lies = ()
    found = bench.read(3)
    assert is_denied == (honest < 2)
    assert found in ((OLD, NEW) if is_denied else (NEW,))
    bench.open()
    assert bench.read(3) == found


@pytest.mark.parametrize("torn", [0, 100, 511])
@pytest.mark.parametrize("kept", range(6))
def test_one_disk_alone_survives_a_write_that_is_torn_anywhere(kept: int, torn: int) -> None:
    bench = alone()
    for content in (b"1" * SECTOR, b"2" * SECTOR):
        bench.write(3, content)
        bench.flush()
    bench.open()
    for content in (b"3" * SECTOR, b"4" * SECTOR):
        bench.write(3, content)
    last = len(bench.disks[1].cached)
    bench.tear((0, 0), (kept, torn))
    bench.disks[0].failing = True
    bench.open()
    assert bench.read(3) in [bytes((number,)) * SECTOR for number in b"234"]
    assert 0 < last <= 6


def alone() -> MirrorBench:
    """A mirror of which one disk does not answer."""
    bench = written()
    bench.disks[0].failing = True
    bench.write(20, NEW)
    return bench


@pytest.mark.parametrize("side", [0, 1])
def test_a_disk_that_is_not_to_be_asked_is_asked_if_the_other_is_not_enough(side: int) -> None:
    bench = written()
    bench.run(bench.life().open({side: 10}))
    assert not bench.mirror.copies[side].is_there
    bench.write(3, NEW)
    bench.look_on(9)
    assert not bench.mirror.copies[side].is_there
    bench.look_on(1)
    assert bench.mirror.copies[side].is_there
    bench.run(bench.life().open({1 - side: 10}))
    assert bench.mirror.copies[1 - side].is_there
    assert bench.read(3) == NEW


def older(side: int, lives: int = 1) -> MirrorBench:
    """A mirror, switched off, of which one disk is put back as it was some lives ago."""
    bench = written()
    content = bytes(bench.disks[side].durable)
    for _ in range(lives):
        bench.open()
    bench.write(3, NEW)
    bench.write(20, NEW)
    bench.flush()
    bench.disks[side].durable[:] = content
    return bench


@pytest.mark.parametrize("lives", [1, 2])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("writes", range(70))
def test_a_disk_of_an_earlier_life_is_never_believed_before_all_was_compared(
    writes: int, side: int, lives: int
) -> None:
    bench = older(side, lives)
    bench.open()
    bench.power.left = writes + 1
    with suppress(DeviceError):
        assert bench.read(20) == NEW
        bench.look_on()
    bench.lose_power([True, False], [False, True])
    bench.disks[1 - side].failing = True
    try:
        bench.open()
    except DeviceError:
        bench.disks[1 - side].failing = False
        bench.open()
    assert (bench.read(3), bench.read(20)) == (NEW, NEW)


def test_a_disk_of_an_earlier_life_comes_back_when_all_was_compared() -> None:
    bench = older(0)
    bench.open()
    bench.look_on()
    bench.disks[1].failing = True
    bench.open()
    assert (bench.read(3), bench.read(20)) == (NEW, NEW)


@settings(max_examples=200)
@given(
    cuts=st.lists(
        st.tuples(st.integers(1, 30), st.lists(st.booleans(), min_size=1, max_size=4), st.booleans()), max_size=5
    ),
    side=st.integers(0, 1), reopened=st.booleans(),
)  # fmt: skip
def test_a_loss_of_power_while_it_is_opened_makes_neither_disk_an_older_one(
    cuts: list[tuple[int, list[bool], bool]],
    side: int,
    reopened: bool,
) -> None:
    bench = written()
    for writes, survivors, swapped in cuts:
        bench.power.left = writes
        with suppress(DeviceError):
            bench.open(swapped=swapped)
        bench.lose_power(survivors, survivors[::-1])
    bench.disks[1 - side].failing = True
    bench.open()
    assert bench.read(3) == OLD
    bench.disks[1 - side].failing = False
    if reopened:
        bench.open()
    bench.look_on()
    assert bench.mirror.is_whole, bench.said


def test_disks_of_which_the_one_went_on_and_the_other_was_opened_later_are_not_joined() -> None:
    bench = written()
    bench.disks[1].failing = True
    bench.open()
    bench.write(3, NEW)
    bench.flush()
    bench.disks[0].failing, bench.disks[1].failing = True, False
    for _ in range(3):
        bench.open()
    bench.write(3, b"other".ljust(SECTOR))
    bench.flush()
    bench.disks[0].failing = False
    with pytest.raises(Corrupt, match="each disk went on without the other"):
        bench.open()


def test_disks_that_each_went_on_without_the_other_are_not_joined() -> None:
    bench = written()
    for side in range(2):
        bench.disks[side].failing, bench.disks[1 - side].failing = True, False
        bench.open()
        bench.write(3, bytes((side + 1,)) * SECTOR)
        bench.flush()
    bench.disks[1].failing = False
    with pytest.raises(Corrupt, match="each disk went on without the other"):
        bench.open()


class Shelf:
    """Disks of one mirror, of which any two are put into the machine; and what is known of each.

    ``chains`` are the writes that a disk holds, None while it is behind or blank.
    """

    def __init__(self) -> None:
        self.bench = written()
        one, other = [bytes(disk.durable) for disk in self.bench.disks]
        self.images = [one, other, bytes(len(one)), bytes(len(one))]
        self.chains: list[tuple[int, ...] | None] = [(), (), None, None]
        self.writes = 0

    def use(self, places: tuple[int, int], *, writes: bool, whole: bool) -> str:
        """Open two of them; why they are refused, if they are."""
        before = [self.images[place] for place in places]
        chains = [self.chains[place] for place in places]
        held = sorted((chain for chain in chains if chain is not None), key=len)
        for disk, image in zip(self.bench.disks, before, strict=True):
            disk.durable[:] = image.ljust(len(disk.durable), b"\0")
        self.bench.notes = Notes(0)
        try:
            self.bench.open()
        except Corrupt as failure:
            now = [bytes(disk.durable[: len(image)]) for disk, image in zip(self.bench.disks, before, strict=True)]
            assert now == before
            return str(failure)
        except DeviceError as failure:
            self._keep(places, chains)
            return str(failure)
        if len(held) == 2:
            assert held[1][: len(held[0])] == held[0], "what one of them has written would vanish"
        latest = held[-1] if held else ()
        assert self.bench.read(3) == (self._content(latest[-1]) if latest else OLD)
        if writes:
            self.writes += 1
            self.bench.write(3, self._content(self.writes))
            latest = (*latest, self.writes)
        if whole:
            self.bench.look_on()
        self.bench.flush()
        self._keep(places, [latest if copy.is_believed else None for copy in self.bench.mirror.copies])
        return ""

    def _keep(self, places: tuple[int, int], chains: Sequence[tuple[int, ...] | None]) -> None:
        for place, disk, chain in zip(places, self.bench.disks, chains, strict=True):
            self.images[place], self.chains[place] = bytes(disk.durable), chain

    def _content(self, number: int) -> bytes:
        return number.to_bytes(4, "little").ljust(SECTOR, b"w")


PAIRS = st.permutations(range(4)).map(lambda order: (order[0], order[1]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(PAIRS, st.booleans(), st.booleans()), max_size=9), st.integers(0, 9), st.integers(0, 9),
    st.integers(0, 3),
)  # fmt: skip
@example([((0, 2), True, True), ((3, 1), True, True), ((0, 1), False, True)], 9, 9, 0)
def test_whichever_two_disks_of_a_mirror_are_put_together_nothing_that_was_flushed_vanishes_in_silence(
    uses: list[tuple[tuple[int, int], bool, bool]], saved_at: int, restored_at: int, which: int
) -> None:
    shelf = Shelf()
    saved: tuple[bytes, tuple[int, ...] | None] | None = None
    for number, (places, writes, whole) in enumerate(uses):
        if number == saved_at:
            saved = shelf.images[which], shelf.chains[which]
        if number == restored_at and saved is not None:
            shelf.images[which], shelf.chains[which] = saved
        if any(shelf.chains[place] is not None for place in places):
            # (Two blank ones would become another mirror.)
            shelf.use(places, writes=writes, whole=whole)


@pytest.mark.parametrize("lives", [0, 1, 3])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_disks_that_each_went_on_with_another_one_are_not_joined(lives: int, order: tuple[int, int]) -> None:
    shelf = Shelf()
    assert shelf.use((0, 2), writes=True, whole=True) == ""
    for _ in range(1 + lives):
        assert shelf.use((3, 1), writes=True, whole=True) == ""
    assert shelf.use(order, writes=False, whole=True) == "each disk went on without the other"
    assert shelf.use((3, 2), writes=False, whole=True) == "each disk went on without the other"
    assert shelf.use((0, 2), writes=False, whole=True) == shelf.use((1, 3), writes=False, whole=True) == ""


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 2), (2, 0)])
def test_an_older_disk_comes_back_though_the_other_one_has_changed_its_place_meanwhile(order: tuple[int, int]) -> None:
    shelf = Shelf()
    assert shelf.use((1, 2), writes=True, whole=True) == ""
    assert shelf.use(order, writes=False, whole=True) == ""
    assert shelf.chains[order[0]] == shelf.chains[order[1]] == (1,)


def test_a_disk_that_went_on_elsewhere_while_it_did_not_answer_stays_away() -> None:
    shelf = Shelf()
    assert shelf.use((3, 1), writes=True, whole=True) == ""
    bench, elsewhere = written(), shelf.images[1]
    bench.disks[1].failing = True
    bench.open()
    bench.write(3, NEW)
    bench.disks[1].failing = False
    bench.disks[1].durable[: len(elsewhere)] = elsewhere
    bench.look_on()
    assert bytes(bench.disks[1].durable[: len(elsewhere)]) == elsewhere
    assert "disk 1 stays away: each disk went on without the other" in bench.said
    assert bench.read(3) == NEW


@given(
    st.lists(st.tuples(st.binary(min_size=8, max_size=8), st.integers(0, 1 << 22)), min_size=1,
             max_size=REMEMBERED + 1, unique_by=lambda each: each[0]), st.sampled_from(list(State)), st.integers(0, 1),
)  # fmt: skip
def test_a_label_is_read_as_it_was_written(past: list[tuple[bytes, int]], state: State, side: int) -> None:
    line = past.pop()[0]
    label = Label(bytes(16), 3, 4, 5, 6, side, state, line, tuple(past))
    assert read_label(label.pack()) == label
    alone = label.alone(5, b"")
    assert read_label(alone.pack()) == alone
    assert alone.line not in (label.line, label.alone(5, b"x").line)
    assert is_behind(label, alone)
    assert not is_behind(alone, label)


def test_disks_of_other_mirrors_are_told_and_not_touched() -> None:
    bench, other = written(), MirrorBench()
    other.open("another")
    before = bytes(other.disks[1].durable)
    bench.disks[1].durable[:] = before
    with pytest.raises(Corrupt, match="another mirror"):
        bench.open()
    assert bench.disks[1].durable == before


def test_the_same_disk_twice_is_no_mirror() -> None:
    bench, other = written(), written()
    bench.disks[1] = other.disks[0]
    bench.disks[1].power = bench.power
    with pytest.raises(Corrupt, match="both disks are disk 0"):
        bench.open()


def test_disks_may_change_places() -> None:
    bench = written()
    bench.open(swapped=True)
    bench.look_on()
    assert bench.read(3) == OLD
    assert bench.mirror.mended == 0


def test_a_disk_with_something_else_on_it_is_not_touched_and_the_other_goes_on() -> None:
    bench = written()
    bench.disks[1].durable[:] = before = b"\xa5" * len(bench.disks[1].durable)
    bench.open()
    bench.look_on(300)
    assert bench.read(3) == OLD
    assert bytes(bench.disks[1].durable) == before
    assert any("something else" in text for text in bench.said)


def test_two_disks_with_something_else_on_them_are_no_mirror() -> None:
    bench = MirrorBench()
    for disk in bench.disks:
        disk.durable[:] = b"\xa5" * len(disk.durable)
    with pytest.raises(Corrupt, match="something else"):
        bench.open()


def test_a_blank_disk_in_place_of_one_gets_everything() -> None:
    bench = written()
    bench.disks[0].durable[:] = bytes(len(bench.disks[0].durable))
    bench.open()
    bench.look_on()
    assert bench.mirror.is_whole
    bench.disks[1].failing = True
    bench.open()
    assert bench.read(3) == OLD


def test_a_blank_disk_alone_is_not_taken_for_a_mirror() -> None:
    bench = MirrorBench()
    bench.disks[0].failing = True
    with pytest.raises(DeviceError, match="blank"):
        bench.open()
    assert not any(bench.disks[1].durable)


@pytest.mark.parametrize("place", [0, 1])
def test_one_place_of_the_label_is_enough(place: int) -> None:
    bench = written()
    for disk in bench.disks:
        disk.durable[place * SECTOR : (place + 1) * SECTOR] = b"\x5a" * SECTOR
    bench.open()
    assert bench.read(3) == OLD


def test_a_disk_whose_labels_are_spoilt_is_known_by_its_tables_and_written_again() -> None:
    bench = written()
    bench.disks[0].durable[: FIRST * SECTOR] = b"\x5a" * (FIRST * SECTOR)
    bench.open()
    bench.look_on()
    bench.disks[1].failing = True
    bench.open()
    assert bench.read(3) == OLD


def test_a_sector_that_cannot_be_read_is_taken_from_the_other_and_written_anew() -> None:
    bench = written()
    bad = {place_of(0, place, 3) for place in range(2)}
    bench.disks[0].unreadable |= bad
    assert bench.read(3) == OLD
    bench.look_on()
    assert bench.mirror.is_whole
    bench.write(3, NEW)
    assert not bench.disks[0].unreadable >= bad


def test_what_is_right_on_neither_disk_is_an_error_until_it_is_written() -> None:
    bench = written()
    for disk in bench.disks:
        start = place_of(0, 0, 0) * SECTOR
        disk.durable[start : start + (SPAN - 2) * SECTOR] = b"\x5a" * ((SPAN - 2) * SECTOR)
    with pytest.raises(DeviceError, match="sector 3 is right on neither disk"):
        bench.read(3)
    assert bench.read(20) == bytes(SECTOR)
    bench.write(3, NEW)
    assert bench.read(3) == NEW


def test_no_disk_that_answers_is_an_error_and_not_the_end() -> None:
    bench = written()
    for disk in bench.disks:
        disk.failing = True
    with pytest.raises(DeviceError):
        bench.write(3, NEW)
    with pytest.raises(DeviceError):
        bench.flush()
    for disk in bench.disks:
        disk.failing = False
    bench.look_on()
    assert bench.read(3) in (OLD, NEW)
    bench.write(3, NEW)
    bench.flush()
    bench.open()
    assert bench.mirror.copies[0].is_believed
    assert bench.mirror.copies[1].is_believed
    assert bench.read(3) == NEW


def test_the_smaller_disk_counts_and_too_small_a_one_is_none() -> None:
    assert MirrorBench(FIRST + 2 * SPAN, FIRST + 9 * SPAN).open().sectors == 2 * MEMBERS
    with pytest.raises(DeviceError, match="not there"):
        MirrorBench(FIRST + SPAN - 1, FIRST + SPAN).open()


def test_a_disk_of_one_mebibyte_is_whole_again_four_beats_after_it_answers() -> None:
    bench = MirrorBench(2048, 2048)
    bench.open()
    bench.mirror.piece = PIECE
    bench.look_on()
    bench.disks[0].failing = True
    bench.write(0, OLD * 3)
    bench.flush()
    assert not bench.mirror.is_whole
    bench.disks[0].failing = False
    bench.look_on(3)
    assert not bench.mirror.is_whole
    bench.look_on(1)
    assert bench.mirror.is_whole
    bench.disks[1].failing = True
    bench.open()
    assert bench.read(0, 3) == OLD * 3


def complaints(bench: MirrorBench, side: int, *, mends: bool) -> list[int]:
    """What will be complained of a driver; it tells the truth from then on if that ``mends`` it."""
    made: list[int] = []

    async def complain() -> bool:
        made.append(side)
        if mends:
            bench.disks[side].lies = ()
        return True

    bench.mirror.copies[side].disk.complain = complain
    return made


@pytest.mark.parametrize("side", [0, 1])
def test_a_driver_that_shows_another_disk_is_complained_of_and_its_disk_comes_back(side: int) -> None:
    bench = written()
    bench.disks[side].failing = True
    bench.write(20, NEW)
    assert not bench.mirror.copies[side].is_there
    bench.disks[side].failing = False
    bench.disks[side].spoil(0, ("stale read",), 1)
    bench.disks[side].past = b"\7" * len(bench.disks[side].durable)
    made = complaints(bench, side, mends=True)
    bench.look_on()
    assert made == [side]
    assert bench.mirror.is_whole
    bench.disks[1 - side].failing = True
    bench.open()
    assert bench.read(20) == NEW


def test_a_disk_that_is_something_else_is_complained_of_once_and_not_touched() -> None:
    bench = written()
    bench.disks[1].failing = True
    bench.write(20, NEW)
    bench.disks[1].failing = False
    bench.disks[1].durable[:] = strange = b"\7" * len(bench.disks[1].durable)
    bench.disks[1].cached.clear()
    made = complaints(bench, 1, mends=False)
    bench.look_on()
    assert made == [1]
    assert bench.disks[1].durable == strange
    assert bench.read(20) == NEW


@pytest.mark.parametrize("side", [0, 1])
def test_a_driver_that_reads_what_was_not_written_is_complained_of_and_all_is_put_right(side: int) -> None:
    bench = written()
    made = complaints(bench, side, mends=True)
    for group in range(2):
        bench.write(group * MEMBERS + 3, NEW)
    bench.flush()
    bench.disks[side].spoil(0, ("wrong data read",), 1)
    for group in range(2):
        assert bench.read(group * MEMBERS + 3) == NEW
    assert made == [side]
    bench.look_on()
    assert bench.mirror.is_whole


def test_a_disk_that_fails_again_while_it_is_compared_is_not_joined() -> None:
    bench = written()
    bench.disks[0].failing = True
    last = 2 * MEMBERS
    bench.write(last, NEW)
    bench.disks[0].failing = False
    bench.look_on(2)
    # It can be written, its labels too, but of its last group nothing can be read.
    bench.disks[0].unreadable = set(range(FIRST + 2 * SPAN, FIRST + 3 * SPAN))
    bench.look_on(1)
    assert not bench.mirror.is_whole
    assert not bench.mirror.copies[0].is_there
    bench.disks[0].unreadable = set()
    bench.look_on()
    assert bench.mirror.is_whole
    bench.disks[1].failing = True
    bench.open()
    assert bench.read(last) == NEW


FLAGS = st.tuples(st.booleans(), st.booleans())
COUNTS = st.integers(0, (1 << 64) - 1)


@given(st.builds(MirrorStatus, st.sampled_from(Stage), FLAGS, FLAGS, COUNTS, COUNTS, COUNTS))
def test_what_a_mirror_tells_of_itself_is_read_as_it_was_written(status: MirrorStatus) -> None:
    assert MirrorStatus.unpack(status.pack()) == status


def test_a_mirror_tells_whether_its_disks_are_in_step() -> None:
    bench = written()
    told = []

    def tell(stage: Stage = Stage.OPEN) -> None:
        told.append(MirrorStatus.of(bench.mirror, stage).words())

    tell()
    bench.disks[1].failing = True
    bench.write(3, NEW)
    tell()
    bench.disks[1].failing = False
    bench.look_on(1)
    tell()
    bench.look_on()
    tell()
    bench.open()
    tell()
    tell(Stage.OPENING)
    tell(Stage.REFUSING)
    assert told == [
        "a mirror: both disks are in step",
        "a mirror: disk 2 is not in use, disk 1 goes on alone",
        "a mirror: disk 2 is behind and brought up to date, 1 of 3 groups are; 1 sectors were put right",
        "a mirror: both disks are in step; 1 sectors were put right",
        "a mirror: both disks are in use, 0 of 3 groups compared",
        "a mirror that is being opened",
        "two disks that are no mirror",
    ]


def test_a_disk_is_compared_in_pieces_while_requests_go_on() -> None:
    bench = written()
    bench.disks[0].durable[:] = bytes(len(bench.disks[0].durable))
    bench.open()
    assert bench.read(0, SECTORS)[3 * SECTOR : 4 * SECTOR] == OLD
    for beat in range(3):
        bench.run(bench.mirror.look_on())
        content = bytes((beat + 1,)) * SECTOR
        for group in range(3):
            bench.write(group * MEMBERS + beat, content)
            assert bench.read(group * MEMBERS + beat) == content
    bench.look_on()
    bench.disks[1].failing = True
    bench.open()
    for group in range(3):
        assert bench.read(group * MEMBERS, 3) == b"".join(bytes((beat + 1,)) * SECTOR for beat in range(3))
