"""RAM against a bytearray, with snapshots restored in any order."""

import ctypes
import gc
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.memory import PAGE_SIZE, BusError, Memory
from hwmodel.tracked_memory import TrackedMemory

BASE = 0x8000_0000
SIZE = 8 * PAGE_SIZE

offsets = st.one_of(st.integers(0, SIZE), st.integers(0, 7).map(lambda page: page * PAGE_SIZE))
steps = st.one_of(
    st.tuples(st.just("word"), st.integers(0, SIZE // 8 - 1), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("bytes"), offsets, st.binary(max_size=40)),
    st.tuples(st.just("fill"), st.integers(0, 7), st.integers(0, 1)),
    st.tuples(st.just("pointer"), st.integers(0, SIZE - 1), st.integers(0, 255)),
    st.tuples(st.just("clear"), offsets, offsets),
    st.tuples(st.just("snapshot"), st.just(0), st.just(0)),
    st.tuples(st.just("restore"), st.integers(0, 9), st.just(0)),
)


def apply_step(memory: Memory, model: bytearray, step, saved: list) -> None:
    kind, first, second = step
    if kind == "word":
        memory.write_word(BASE + 8 * first, second)
        model[8 * first : 8 * first + 8] = second.to_bytes(8, "little")
    elif kind == "bytes":
        data = second[: SIZE - first]
        memory.write(BASE + first, data)
        model[first : first + len(data)] = data
    elif kind == "fill":
        memory.write(BASE + first * PAGE_SIZE, bytes([second]) * PAGE_SIZE)
        model[first * PAGE_SIZE : (first + 1) * PAGE_SIZE] = bytes([second]) * PAGE_SIZE
    elif kind == "pointer":
        memory.mark_written(BASE + first, 1)
        ctypes.c_ubyte.from_address(memory.address + first).value = second
        model[first] = second
    elif kind == "clear":
        low, high = min(first, second), max(first, second)
        memory.clear(BASE + low, high - low)
        model[low:high] = bytes(high - low)
    elif kind == "snapshot":
        saved.append((memory.snapshot(), bytes(model), memory.content_digest()))
    elif saved:
        snapshot, contents, digest = saved[first % len(saved)]
        memory.restore(snapshot)
        model[:] = contents
        assert memory.content_digest() == digest


@pytest.mark.parametrize("kind", [Memory, TrackedMemory])
@settings(max_examples=120, deadline=None)
@given(script=st.lists(steps, max_size=25))
def test_behaves_like_a_bytearray(kind, script):
    memory, model, saved = kind(BASE, SIZE), bytearray(SIZE), []
    for step in script:
        apply_step(memory, model, step, saved)
    assert memory.read(BASE, SIZE) == model
    expected = [
        (BASE + start, bytes(model[start : start + PAGE_SIZE]))
        for start in range(0, SIZE, PAGE_SIZE)
        if any(model[start : start + PAGE_SIZE])
    ]
    assert list(memory.nonzero_pages()) == expected
    fresh = Memory(BASE, SIZE)
    fresh.write(BASE, bytes(model))
    assert fresh.content_digest() == memory.content_digest()


def test_a_store_by_another_party_belongs_to_the_contents():
    memory = Memory(BASE, 1 << 30)
    before = memory.snapshot()
    os.pwrite(memory.fd, b"hello", 0x1234_5000)
    assert memory.read(BASE + 0x1234_5000, 5) == b"hello"
    after = memory.snapshot()
    memory.restore(before)
    assert list(memory.nonzero_pages()) == []
    memory.restore(after)
    assert os.pread(memory.fd, 5, 0x1234_5000) == b"hello"


def test_unchanged_pages_are_shared_between_snapshots():
    memory = Memory(BASE, SIZE)
    memory.write(BASE, b"a" * 3 * PAGE_SIZE)
    first = memory.snapshot()
    memory.write(BASE, b"b")
    second = memory.snapshot()
    assert first.pages[1] is second.pages[1]
    assert first.pages[0] != second.pages[0]


@pytest.mark.parametrize(
    ("paddr", "size"),
    [(BASE - 8, 8), (BASE + SIZE, 8), (0, 8), (BASE + SIZE - 4, 8), (BASE, SIZE + 1), (BASE, -1)],
)
def test_accesses_outside_ram_are_bus_errors(paddr, size):
    memory = Memory(BASE, SIZE)
    assert not memory.contains(paddr, size)
    for access in (memory.read, memory.clear):
        with pytest.raises(BusError) as caught:
            access(paddr, size)
        assert caught.value.address == paddr
    if size == 8 and paddr % 8 == 0:
        with pytest.raises(BusError):
            memory.read_word(paddr)
        with pytest.raises(BusError):
            memory.write_word(paddr, 1)


def test_words_must_be_aligned_and_fit():
    memory = Memory(BASE, SIZE)
    with pytest.raises(BusError, match="aligned"):
        memory.read_word(BASE + 4)
    with pytest.raises(BusError, match="aligned"):
        memory.write_word(BASE + 1, 0)
    with pytest.raises(ValueError, match="invalid value"):
        memory.write_word(BASE, 1 << 64)


def test_a_snapshot_fits_only_the_same_ram():
    with pytest.raises(ValueError, match="another"):
        Memory(BASE, SIZE).restore(Memory(BASE, 2 * SIZE).snapshot())
    with pytest.raises(ValueError, match="whole pages"):
        Memory(BASE + 1, SIZE)


def test_clearing_gives_pages_back_to_the_host():
    memory = Memory(BASE, 1 << 26)
    memory.write(BASE, b"x" * (1 << 24))
    assert os.fstat(memory.fd).st_blocks * 512 >= 1 << 24
    memory.clear(BASE, 1 << 26)
    assert os.fstat(memory.fd).st_blocks == 0


def test_dropping_a_ram_closes_its_descriptor():
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        Memory(BASE, SIZE).write_word(BASE, 1)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("kind", [Memory, TrackedMemory])
def test_a_forked_process_can_have_the_content_for_itself(kind):
    memory = kind(BASE, SIZE)
    memory.write_word(BASE, 1)
    words = memory.words
    child = os.fork()
    if not child:
        memory.separate()
        is_copy = memory.read_word(BASE) == words[0] == 1
        memory.write_word(BASE, 2)
        memory.clear(BASE + PAGE_SIZE, PAGE_SIZE)
        os._exit(0 if is_copy and words[0] == ctypes.c_uint64.from_address(memory.address).value == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert memory.read_word(BASE) == 1
