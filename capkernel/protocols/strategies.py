"""Hypothesis strategies from the definitions: arguments that an operation takes, and requests that none should.

Imported by tests and by the fuzzer only; needs Hypothesis.
"""

import enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
from hypothesis import strategies as st

from capkernel.abi.message import LABEL_BITS, MSG_MAX_LENGTH
from capkernel.abi.words import WORD_MASK
from capkernel.protocols.interface import Interface, Operation, operations_of
from capkernel.user.codec import Word
from capkernel.user.messages import to_words
from capkernel.user.syscalls import Message

MAX_BYTES = 64
MAX_ITEMS = 4
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 5000),
    Word: st.integers(0, WORD_MASK) | st.integers(0, 5000),
    bool: st.booleans(),
    float: st.floats(),
    bytes: st.binary(max_size=MAX_BYTES),
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_BYTES),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type that can travel. Raises ValueError for another type."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return st.none() | values_of(next(arg for arg in args if arg is not NoneType))
    if origin is list:
        return st.lists(values_of(args[0]), max_size=MAX_ITEMS)
    if origin is tuple:
        return st.lists(values_of(args[0]), max_size=MAX_ITEMS).map(tuple)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and attrs.has(kind):
        hints = get_type_hints(kind)
        parts = {field.name: values_of(hints[field.name]) for field in attrs.fields(kind)}
        return st.tuples(*parts.values()).flatmap(lambda each: _built(kind, each))
    raise ValueError(f"{kind} is no type that can travel")


def _built(kind: type, parts: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """A record, unless its validators refuse the parts."""
    try:
        return st.just(kind(*parts))
    except (ValueError, TypeError):
        return st.nothing()


def arguments_of(operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    """The data arguments of an operation, by parameter."""
    return st.fixed_dictionaries({parameter.name: values_of(parameter.kind) for parameter in operation.data})


def requests_of(interface: type[Interface]) -> st.SearchStrategy[Message]:
    """Well-formed requests of an interface, without caps."""
    return st.sampled_from(list(operations_of(interface).values())).flatmap(
        lambda operation: arguments_of(operation).map(lambda values: _request(operation, values))
    )


def _request(operation: Operation, values: dict[str, Any]) -> Message:
    return Message(operation.label, to_words(operation.request(**values)))


def hostile_requests(interface: type[Interface]) -> st.SearchStrategy[Message]:
    """What a client might send who wants to do harm: damaged requests, other interfaces' labels, any words at all."""
    words = st.lists(st.integers(0, WORD_MASK) | st.integers(0, 300), max_size=MSG_MAX_LENGTH)
    labels = st.integers(0, (1 << LABEL_BITS) - 1) | st.integers(0, 255).map(lambda n: interface.number << 8 | n)
    anything = st.builds(Message, labels, words)
    return anything | requests_of(interface).flatmap(_damaged)


def _damaged(message: Message) -> st.SearchStrategy[Message]:
    """The same with a word changed, or cut off, or with words behind it."""
    words = list(message.words)
    cut = st.integers(0, len(words)).map(lambda end: Message(message.label, words[:end]))
    more = st.lists(st.integers(0, WORD_MASK), min_size=1, max_size=3).map(
        lambda end: Message(message.label, words + end)
    )
    if not words:
        return more
    changed = st.tuples(st.integers(0, len(words) - 1), st.integers(0, WORD_MASK)).map(
        lambda where: Message(message.label, [*words[: where[0]], where[1], *words[where[0] + 1 :]])
    )
    return cut | more | changed
