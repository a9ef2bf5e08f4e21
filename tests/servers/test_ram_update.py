"""Files in memory that are handed over to the next program: byte for byte, with the caps to them, or not at all."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import Failure, Gone, NotPermitted
from capkernel.protocols.files import READ, READ_WRITE, Kind
from capkernel.user.messages import to_words
from servers.storage.ram_handover import KeptFiles, KeptThing, keep_files, restore_files
from servers.storage.ram_server import LIMIT
from servers.storage.ram_sparse import PAGE, SparseVolume
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from servers.system.retiring import Handover, UnusableState
from tests.servers.fakedisk import FakeDisk
from tests.servers.storage_bench import STEPS, Bench
from tests.servers.test_handover import PLANNED, Caps, everything, server
from tests.servers.update_bench import SUPERVISOR, UPDATE, Lasting, Retired

KINDS = (RamVolume, SparseVolume)
DISK = FakeDisk(8)
EDITS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 4 * PAGE), st.binary(max_size=3 * PAGE)),
    st.tuples(st.just("write"), st.integers(0, 4 * PAGE), st.integers(0, 3 * PAGE).map(bytes)),
    st.tuples(st.just("resize"), st.integers(0, 5 * PAGE)),
    st.tuples(st.just("read"), st.integers(0, 5 * PAGE), st.integers(0, 5 * PAGE)),
)


def caps_of(kind: type[RamVolume], life: int = 1) -> Caps:
    return Caps(kind(LIMIT), life, DISK)


def next_program(caps: Caps, kind: type[RamVolume], lasting: Lasting | None = None) -> Caps:
    """The one that goes on, by way of memory that outlives both."""
    lasting = lasting or Lasting(1 << 20)
    life = caps.service.pd.life
    leaving = Handover(lasting.pd(life), KeptFiles, lasting.region, SUPERVISOR, UPDATE)
    lasting.run(leaving.go_on(lambda kept: None))
    with pytest.raises(Retired):
        lasting.run(leaving.give_way(DISK.run(keep_files(caps.tree.volume, caps.service))))
    after = caps_of(kind, life + 1)
    after.badges = list(caps.badges)
    coming = Handover(lasting.pd(life + 1), KeptFiles, lasting.region, SUPERVISOR, UPDATE)
    assert lasting.run(coming.go_on(lambda kept: restore_files(kept, after.tree, after.service)))
    return after


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(KINDS), min_size=2, max_size=4), st.lists(PLANNED, min_size=4, max_size=4))
def test_every_file_and_every_cap_survives_any_number_of_handovers(
    kinds: list[type[RamVolume]], parts: list[list[tuple[int, tuple[Any, ...]]]]
) -> None:
    """The same steps with a server that goes on, and with one that gives way to the other kind again and again."""
    stayed, moving = caps_of(RamVolume), caps_of(kinds[0])
    for kind, part in zip([*kinds[1:], kinds[0]], parts, strict=False):
        for which, step in part:
            assert stayed.do(which, step) == moving.do(which, step), step
        # What one life gave out bears its number: the other server counts lives along.
        moving = next_program(moving, kind)
        stayed.service.pd.life += 1
        stayed.service._next_number, stayed.service._end_number = moving.service._next_number, 1 << 62
        assert DISK.run(everything(moving.tree.volume)) == DISK.run(everything(stayed.tree.volume))
        assert moving.seen() == stayed.seen()
        assert DISK.run(moving.tree.volume.space()) == DISK.run(stayed.tree.volume.space())


@settings(max_examples=150, deadline=None)
@given(st.lists(EDITS, max_size=12))
def test_a_file_without_its_zeros_reads_like_one_with_them(edits: list[tuple[Any, ...]]) -> None:
    volumes = [kind(16 * PAGE) for kind in KINDS]
    for volume in volumes:
        DISK.run(volume.create("file", Kind.FILE))
    for name, *args in edits:
        outcomes = []
        for volume in volumes:
            try:
                outcomes.append(DISK.run(getattr(volume, name)("file", *args)))
            except Failure as failure:
                outcomes.append(type(failure))
        assert outcomes[0] == outcomes[1], name
    assert DISK.run(everything(volumes[0])) == DISK.run(everything(volumes[1]))
    content = volumes[1]._things["file"]
    assert all(any(page) and len(page) == PAGE for page in content.pages.values())
    assert all(number * PAGE < len(content) for number in content.pages)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), STEPS), max_size=30))
def test_a_tree_of_sparse_files_does_what_any_tree_does(steps: list[tuple[int, tuple[Any, ...]]]) -> None:
    benches = [Bench(DISK, kind(1 << 18)) for kind in KINDS]
    for which, step in steps:
        assert benches[0].do(which, step) == benches[1].do(which, step)


def filled() -> Caps:
    caps = caps_of(RamVolume)
    caps.do(0, ("make_directory", "directory"))
    caps.do(2, ("create", "file"))
    caps.do(3, ("write", 0, b"content"))
    caps.do(2, ("open", "file", READ))
    caps.do(0, ("create", "gone"))
    caps.do(0, ("remove", "gone"))
    return caps


def test_what_a_cap_could_do_it_can_do_afterwards_and_no_more() -> None:
    after = next_program(filled(), SparseVolume)
    assert after.do(3, ("read", 0, 9)) == b"content"
    assert after.do(4, ("write", 0, b"x")) is NotPermitted
    assert after.do(5, ("read", 0, 1)) is Gone
    assert after.do(3, ("write", 7, b", more")) is None
    assert after.do(4, ("read", 0, 20)) == b"content, more"


def _things(kept: KeptFiles, *things: KeptThing) -> KeptFiles:
    return evolve(kept, things=[*kept.things, *things])


def _objects(kept: KeptFiles, **changes: Any) -> KeptFiles:
    objects = [evolve(each, **changes) if each.path == "directory/file" else each for each in kept.caps.objects]
    return evolve(kept, caps=evolve(kept.caps, objects=objects))


def _caps(kept: KeptFiles, **changes: Any) -> KeptFiles:
    """The same with changed caps to what is in the directory."""
    caps = [evolve(each, **changes) if each.parent else each for each in kept.caps.caps]
    return evolve(kept, caps=evolve(kept.caps, caps=caps))


FORGERIES = {
    "a file in a directory that is not there": lambda kept: _things(kept, KeptThing("no/file", Kind.FILE, b"")),
    "a file in a file": lambda kept: _things(kept, KeptThing("directory/file/below", Kind.FILE, b"")),
    "a name twice": lambda kept: _things(kept, KeptThing("directory", Kind.DIRECTORY, b"")),
    "a directory with a content": lambda kept: _things(kept, KeptThing("other", Kind.DIRECTORY, b"x")),
    "a name that is none": lambda kept: _things(kept, KeptThing("directory/..", Kind.FILE, b"")),
    "the root": lambda kept: _things(kept, KeptThing("", Kind.DIRECTORY, b"")),
    "more than there is room for": lambda kept: _things(kept, KeptThing("large", Kind.FILE, bytes(LIMIT))),
    "rights that there are not": lambda kept: _objects(kept, rights=READ_WRITE + 1),
    "a cap to a file that is not there": lambda kept: _objects(kept, path="directory/other"),
    "a cap to a file as to a directory": lambda kept: _objects(kept, kind=Kind.DIRECTORY),
    "a cap to an object that is not there": lambda kept: _caps(kept, servant=99),
    "a cap of a life to come": lambda kept: _caps(kept, number=9 << 23),
    "a cap below another session's": lambda kept: _caps(kept, session=3),
    "a session that has no root": lambda kept: _caps(kept, session=60),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_state_that_no_server_can_have_left_is_refused(forgery: Any) -> None:
    kept = DISK.run(keep_files(filled().tree.volume, filled().service))
    for state, is_refused in ((kept, False), (forgery(kept), True)):
        tree = Tree(RamVolume(LIMIT))
        service = server(tree, 2)
        service._roots = lambda session, tree=tree: tree.root_directory() if session < 10 else None
        try:
            DISK.run(restore_files(state, tree, service))
        except (ValueError, Failure):
            assert is_refused
        else:
            assert not is_refused, "it was believed"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=64), st.data())
def test_no_words_make_a_server_do_anything_but_take_them_or_refuse_them(content: bytes, data: st.DataObject) -> None:
    """As if a program wrote any words as its state, with a checksum that fits."""
    caps = filled()
    caps.do(3, ("write", 0, content))
    words = to_words(DISK.run(keep_files(caps.tree.volume, caps.service)))
    at = data.draw(st.integers(0, len(words) - 1))
    words[at] = data.draw(st.integers(0, 9) | st.integers(0, 2**64 - 1))
    lasting = Lasting(1 << 16)
    leaving = Handover(lasting.pd(1), KeptFiles, lasting.region, SUPERVISOR, UPDATE)
    leaving._kept.save = lambda value: leaving._kept._kept.save(b"".join(word.to_bytes(8, "little") for word in words))
    with pytest.raises(Retired):
        lasting.run(leaving.give_way(None))
    after = caps_of(RamVolume, 2)
    coming = Handover(lasting.pd(2), KeptFiles, lasting.region, SUPERVISOR, UPDATE)
    try:
        lasting.run(coming.go_on(lambda kept: restore_files(kept, after.tree, after.service)))
    except UnusableState:
        assert SUPERVISOR not in lasting.signals
    else:
        # Then it is a state like any other: what was believed can be written down again.
        kept = DISK.run(keep_files(after.tree.volume, after.service))
        assert sum(len(thing.content) for thing in kept.things) <= LIMIT


def test_more_than_there_is_room_for_is_not_handed_over_and_the_server_goes_on() -> None:
    caps = filled()
    caps.do(3, ("write", 0, bytes(range(256)) * 64))
    lasting = Lasting(0x2000)
    leaving = Handover(lasting.pd(1), KeptFiles, lasting.region, SUPERVISOR, UPDATE)
    lasting.run(leaving.give_way(DISK.run(keep_files(caps.tree.volume, caps.service))))
    assert "cannot give way" in lasting.said
    assert lasting.signals == []
    assert caps.do(3, ("read", 0, 4)) == bytes(range(4))
