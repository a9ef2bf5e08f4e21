"""What gateways say to each other in a session: one question, one answer, as ``user.codec`` writes them."""

import struct
from enum import IntEnum
from typing import TypeVar

from attrs import field, frozen

from capkernel.protocols.failures import Malformed
from capkernel.protocols.remote import Revoked
from capkernel.user.codec import MessageError, Word
from capkernel.user.messages import from_words, to_words
from capkernel.user.syscalls import Message

T = TypeVar("T")


class Verb(IntEnum):
    """What a question asks for."""

    LOOKUP = 1
    """A token for what is offered by the name ``text``."""
    PRESENT = 2
    """Take the token in ``tokens``, and know it by its grant."""
    CALL = 3
    """The operation of ``label`` through a ``grant``, with ``words`` as data and ``tokens`` as caps."""
    RELEASE = 4
    """The ``grant`` is of no use here any more."""
    CUT = 5
    """The grants in ``tokens`` were revoked: cut what was made of them, then answer."""
    REVOKE = 6
    """End the token in ``tokens``, by one of its holders."""


@frozen
class Asked:
    """A question; what its verb does not name is empty."""

    verb: Verb
    grant: bytes = b""
    label: int = 0
    words: list[Word] = field(factory=list)
    tokens: list[bytes] = field(factory=list)
    text: str = ""


@frozen
class Answered:
    """An answer: a label, 0 or a failure's, and words, as a server's; or a token in place of a cap."""

    label: int = 0
    words: list[Word] = field(factory=list)
    tokens: list[bytes] = field(factory=list)


def encode(value: Asked | Answered) -> bytes:
    """The bytes of a question or an answer."""
    words = to_words(value)
    return struct.pack(f"<{len(words)}Q", *words)


def decode(kind: type[T], data: bytes) -> T:
    """The question or answer in these bytes. Raises Malformed, whatever they are."""
    if len(data) % 8:
        raise Malformed("a message of a gateway is whole words")
    try:
        return from_words(kind, struct.unpack(f"<{len(data) // 8}Q", data))
    except MessageError as error:
        raise Malformed(f"another gateway said what makes no sense: {error}") from None


def words_of(message: Message) -> list[Word]:
    """A message's words, to be sent on."""
    return [Word(word) for word in message.words]


def revoked(found: Revoked) -> Answered:
    """The answer that says what came of a revocation."""
    return Answered(words=[Word(word) for word in to_words(found)])


def revoked_in(answer: Answered) -> Revoked:
    """What an answer says came of a revocation. Raises Malformed."""
    try:
        return from_words(Revoked, tuple(answer.words))
    except MessageError as error:
        raise Malformed(f"another gateway said what makes no sense: {error}") from None
