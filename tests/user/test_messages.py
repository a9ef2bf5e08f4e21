"""Typed messages: what goes in comes out, whatever it is, and what does not fit is refused with its place."""

import enum
from contextlib import suppress
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.abi import objects as obj
from capkernel.user.bootstrap import Environment, Start
from capkernel.user.codec import MessageError, Word
from capkernel.user.messages import SPILLED, SharedRegion, from_words, label_of, pack, to_words, unpack
from capkernel.user.syscalls import Syscalls
from capkernel.user.threads import ThreadSpec, start_thread
from capkernel.user.vspaces import VSpace


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = -1
    HIGH = 7


@attrs.frozen
class Point:
    x: int
    y: int | None


@attrs.frozen
class Everything:
    number: int
    word: Word
    flag: bool
    raw: bytes
    text: str
    colour: Colour
    level: Level
    point: Point
    points: list[Point]
    maybe: Point | None
    names: tuple[str, ...]
    ratio: float
    nested: list[list[bytes]]


@attrs.frozen
class Bounded:
    size: int = attrs.field(validator=attrs.validators.ge(0))


INTS = st.integers(-(1 << 63), (1 << 63) - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
POINTS = st.builds(Point, INTS, st.none() | INTS)
VALUES = st.builds(
    Everything, INTS, st.integers(0, (1 << 64) - 1), st.booleans(), st.binary(max_size=40), TEXTS,
    st.sampled_from(Colour), st.sampled_from(Level), POINTS, st.lists(POINTS, max_size=3), st.none() | POINTS,
    st.lists(TEXTS, max_size=3).map(tuple), st.floats(allow_nan=False),
    st.lists(st.lists(st.binary(max_size=9), max_size=2), max_size=2),
)  # fmt: skip


@given(VALUES)
def test_every_value_comes_back(value: Everything) -> None:
    words = to_words(value)
    assert all(0 <= word < 1 << 64 for word in words)
    assert from_words(Everything, words) == value


@given(VALUES, st.data())
def test_an_encoding_is_exact(value: Everything, data: st.DataObject) -> None:
    """Other words are refused, or mean a value whose words they are."""
    words = to_words(value)
    index = data.draw(st.integers(0, len(words) - 1))
    words[index] = data.draw(st.sampled_from((0, 1, 2, 7, (1 << 64) - 1)))
    try:
        other = from_words(Everything, words)
    except MessageError:
        return
    assert to_words(other) == words


@given(st.lists(st.integers(0, 9) | st.integers(0, (1 << 64) - 1), max_size=40))
@settings(max_examples=200)
def test_foreign_words_raise_nothing_but_message_errors(words: list[int]) -> None:
    with suppress(MessageError):
        from_words(Everything, words)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Point("1", None), "Point.x: expected int, got str '1'"),
        (Point(True, None), "Point.x: expected int, got bool"),
        (Point(1 << 63, None), "does not lie between"),
        (Point(0, 1.5), "Point.y: expected int, got float"),
    ],
)
def test_what_does_not_fit_its_type_is_named_with_its_place(value: Any, text: str) -> None:
    with pytest.raises(MessageError) as caught:
        to_words(value)
    assert text in str(caught.value)


def test_validators_of_the_class_are_heard_on_arrival() -> None:
    with pytest.raises(MessageError, match="'size' must be >= 0: -5"):
        from_words(Bounded, [(1 << 64) - 5])
    with pytest.raises(MessageError, match="1 words are left over"):
        from_words(Bounded, [5, 6])


@attrs.define
class Tree:
    below: "list[Tree]"


@attrs.define
class Unfit:
    where: dict[str, int]


@attrs.define
class Named:
    x: int = attrs.field(kw_only=True)


@attrs.define
class Derived:
    x: int
    y: int = attrs.field(init=False, default=1)


@attrs.define
class Undefined:
    x: "Nowhere"  # noqa: F821


@pytest.mark.parametrize(
    ("value", "text"), [(Named(x=1), "keyword-only"), (Derived(1), "not an argument"), (Undefined(1), "not known")]
)
def test_classes_that_could_not_be_received_are_not_sent(value: Any, text: str) -> None:
    with pytest.raises(MessageError, match=text):
        to_words(value)


@pytest.mark.parametrize("value", [Tree([]), Unfit({})])
def test_types_that_cannot_travel_are_refused(value: Any) -> None:
    with pytest.raises(MessageError, match="cannot travel"):
        to_words(value)


@attrs.frozen
class Blob:
    data: bytes


REGION = 0x3000_0000


def test_values_spill_from_registers_to_the_buffer_to_a_shared_frame(root: Any) -> None:
    seen = []

    async def body(env: Environment) -> None:
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        await VSpace(env.memory, env.vspace).map_new(REGION, 0x2000)
        arguments = (endpoint, reply)
        await start_thread(env, ThreadSpec(entry=env.start.values[1], buffer=0x2000_0000, arguments=arguments))
        region = SharedRegion(REGION, 0x2000)
        for size in (3, 24, 25, 900, 8000):
            value = Blob(bytes(n & 0xFF for n in range(size)))
            message = await pack(value, 9, region)
            answer = await env.sys.call(endpoint, message)
            assert await unpack(Blob, answer, region) == value
            seen.append((len(message.words), bool(message.label & SPILLED), label_of(answer)))
        with pytest.raises(MessageError, match="more than the 8192 of the shared region"):
            await pack(Blob(bytes(8200)), 0, region)
        with pytest.raises(MessageError, match="no region is shared"):
            await pack(Blob(bytes(8200)))

    async def server(start: Start) -> None:
        sys, (endpoint, reply) = Syscalls(start.tp), start.arguments[:2]
        region = SharedRegion(REGION, 0x2000)
        message = await sys.recv(endpoint, reply)
        while True:
            value = await unpack(Blob, message, region)
            message = await sys.reply_recv(endpoint, reply, await pack(value, label_of(message) + 1, region))

    root(body, server)
    assert seen == [(2, False, 10), (4, False, 10), (5, False, 10), (114, False, 10), (2, True, 10)]
