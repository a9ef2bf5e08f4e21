"""Sessions: two gateways agree on keys that nobody else has, and on how records are protected.

A signed Diffie-Hellman exchange (SIGMA; Krawczyk 2003) of three packets. Each signature covers all that was said
before it, names and offered suites included, so nobody in between can make the two agree on something else:

    hello     session, the suites on offer, who asks, a fresh key
    answer    session, the suite chosen, who answers, a fresh key; signed over both packets
    confirm   session; signed over all three

A session's questions go one way: whoever said hello asks. A record is sealed with a key for its direction; its header
(kind, session, number) is authenticated with it, and a number is used once.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from attrs import frozen
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from policies.remote.tokens import Identity

SESSION_BYTES: Final = 8
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
NAME_BYTES: Final = 32
_TAG: Final = 16
_NUMBER: Final = struct.Struct("<Q")
_LABEL: Final = b"capkernel gateway 1"
Random = Callable[[int], bytes]


class Kind(IntEnum):
    """What a packet is: its first byte."""

    HELLO = 1
    ANSWER = 2
    CONFIRM = 3
    RECORD = 4


class Suite(IntEnum):
    """How records are protected; the higher the better."""

    AUTHENTICATED = 1
    """HMAC-SHA-256, cut to 16 bytes: nobody changes a record, all read it. Only where a description allows it."""
    ENCRYPTED = 2
    """ChaCha20-Poly1305 (RFC 8439)."""


class HandshakeError(Exception):
    """A packet is not what it must be: damaged, signed by nobody who is known, or at the wrong moment."""


@frozen
class Hello:
    """The first packet."""

    session: bytes
    suites: tuple[int, ...]
    name: str
    key: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        return (
            bytes([Kind.HELLO]) + self.session + self.key + _text(self.name)
            + bytes([len(self.suites), *self.suites])
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> "Hello":
        """Raises HandshakeError."""
        session, key, name, rest = _head(data, Kind.HELLO)
        if not rest or len(rest) != 1 + rest[0]:
            raise HandshakeError("a hello offers suites")
        return cls(session, tuple(rest[1:]), name, key)


@frozen
class Answer:
    """The second packet."""

    session: bytes
    suite: int
    name: str
    key: bytes
    signature: bytes = b""

    def encode(self) -> bytes:
        """Its bytes."""
        return bytes([Kind.ANSWER]) + self.session + self.key + _text(self.name) + bytes([self.suite]) + self.signature

    @classmethod
    def decode(cls, data: bytes) -> "Answer":
        """Raises HandshakeError."""
        session, key, name, rest = _head(data, Kind.ANSWER)
        if len(rest) != 1 + SIGNATURE_BYTES:
            raise HandshakeError("an answer is signed")
        return cls(session, rest[0], name, key, rest[1:])


def transcript(hello: Hello, answer: Answer) -> bytes:
    """A hash of what both sides have said, without the answer's signature."""
    said = [hello.encode(), Answer(answer.session, answer.suite, answer.name, answer.key).encode()]
    return hashlib.sha256(_LABEL + b"".join(len(each).to_bytes(4, "little") + each for each in said)).digest()


class Checks:
    """What the handshake leaves to nobody's word; a gateway that leaves one out is in ``clients.careless_gateway``."""

    def signed(self, hello: Hello, answer: Answer) -> bytes:
        """What both sides sign."""
        return transcript(hello, answer)

    def secret(self, random: Random) -> bytes:
        """A key for one session."""
        return random(KEY_BYTES)

    def bound(self, header: bytes) -> bytes:
        """What of a record's header is authenticated with it."""
        return header


class Sealer:
    """One direction of a session. Raises HandshakeError for a record that is not from there."""

    def __init__(self, key: bytes, suite: int, checks: Checks) -> None:
        self.key = key
        self.suite = suite
        self.checks = checks
        self.number = 0

    def seal(self, session: bytes, plain: bytes) -> bytes:
        """The next record."""
        header = bytes([Kind.RECORD]) + session + _NUMBER.pack(self.number)
        self.number += 1
        bound = self.checks.bound(header)
        if self.suite == Suite.ENCRYPTED:
            return header + ChaCha20Poly1305(self.key).encrypt(_nonce(header), plain, bound)
        return header + plain + hmac.digest(self.key, bound + plain, "sha256")[:_TAG]

    def open(self, record: bytes) -> bytes:
        """What is in a record."""
        at = 1 + SESSION_BYTES + _NUMBER.size
        header, body = record[:at], record[at:]
        if len(body) < _TAG:
            raise HandshakeError("a record is longer")
        bound = self.checks.bound(header)
        if self.suite == Suite.ENCRYPTED:
            try:
                return ChaCha20Poly1305(self.key).decrypt(_nonce(header), body, bound)
            except InvalidTag:
                raise HandshakeError("a record is not of this session") from None
        plain, tag = body[:-_TAG], body[-_TAG:]
        if not hmac.compare_digest(tag, hmac.digest(self.key, bound + plain, "sha256")[:_TAG]):
            raise HandshakeError("a record is not of this session")
        return plain


@frozen
class Keys:
    """What came of a handshake: how this side seals, and how the other one's records are opened."""

    sending: Sealer
    receiving: Sealer


class Asking:
    """The side that says hello."""

    def __init__(self, identity: Identity, suites: tuple[int, ...], random: Random, checks: Checks) -> None:
        self.identity = identity
        self.checks = checks
        self._secret = X25519PrivateKey.from_private_bytes(checks.secret(random))
        self.hello = Hello(random(SESSION_BYTES), suites, identity.name, _raw(self._secret))

    def answered(self, answer: Answer, name: str, key: bytes) -> tuple[Keys, bytes]:
        """The session's keys, and the packet that confirms; for an answer of the machine that is meant.

        Raises HandshakeError.
        """
        if answer.name != name or answer.suite not in self.hello.suites:
            raise HandshakeError(f"this is no answer of {name}'s to what was offered")
        said = self.checks.signed(self.hello, answer)
        _verify(key, answer.signature, b"answer" + said)
        confirm = bytes([Kind.CONFIRM]) + self.hello.session + _sign(self.identity, b"confirm" + said)
        asking, answering = _derive(self._secret, answer.key, self.hello, answer)
        suite = answer.suite
        return Keys(Sealer(asking, suite, self.checks), Sealer(answering, suite, self.checks)), confirm


class Answering:
    """The side that was greeted; ``key`` is the public key of whom the hello names. Raises HandshakeError."""

    def __init__(self, identity: Identity, hello: Hello, suites: tuple[int, ...], random: Random, checks: Checks):
        common = set(hello.suites) & set(suites)
        if not common:
            raise HandshakeError(f"{hello.name} offers no suite that is allowed here")
        self.hello = hello
        self.checks = checks
        self._secret = X25519PrivateKey.from_private_bytes(checks.secret(random))
        unsigned = Answer(hello.session, max(common), identity.name, _raw(self._secret))
        signature = _sign(identity, b"answer" + checks.signed(hello, unsigned))
        self.answer = Answer(unsigned.session, unsigned.suite, unsigned.name, unsigned.key, signature)

    def confirmed(self, packet: bytes, key: bytes) -> Keys:
        """The session's keys, if the packet is signed with the key of whom the hello names. Raises HandshakeError."""
        said = self.checks.signed(self.hello, self.answer)
        _verify(key, packet[1 + SESSION_BYTES :], b"confirm" + said)
        asking, answering = _derive(self._secret, self.hello.key, self.hello, self.answer)
        suite = self.answer.suite
        return Keys(Sealer(answering, suite, self.checks), Sealer(asking, suite, self.checks))


def _derive(secret: X25519PrivateKey, other: bytes, hello: Hello, answer: Answer) -> tuple[bytes, bytes]:
    """The key of either direction: the asking side's first."""
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise HandshakeError("the other side's key is none") from None
    salt = hashlib.sha256(hello.key + answer.key + hello.name.encode() + b"\0" + answer.name.encode()).digest()
    keys = HKDF(SHA256(), 2 * KEY_BYTES, salt, _LABEL).derive(shared)
    return keys[:KEY_BYTES], keys[KEY_BYTES:]


def _sign(identity: Identity, data: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(identity.secret).sign(_LABEL + data)


def _verify(key: bytes, signature: bytes, data: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _LABEL + data)
    except (InvalidSignature, ValueError):
        raise HandshakeError("the signature is not that machine's") from None


def _raw(secret: X25519PrivateKey) -> bytes:
    return secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _nonce(header: bytes) -> bytes:
    return bytes(4) + header[-_NUMBER.size :]


def _text(name: str) -> bytes:
    data = name.encode()
    return bytes([len(data)]) + data


def _head(data: bytes, kind: Kind) -> tuple[bytes, bytes, str, bytes]:
    """Session, key, name and the rest of a packet of the handshake. Raises HandshakeError."""
    at = 1 + SESSION_BYTES + KEY_BYTES
    if len(data) <= at or data[0] != kind or len(data) < at + 1 + data[at] or data[at] > NAME_BYTES:
        raise HandshakeError("this is no packet of a handshake")
    end = at + 1 + data[at]
    try:
        name = data[at + 1 : end].decode()
    except UnicodeDecodeError:
        raise HandshakeError("the name is no text") from None
    return data[1 : 1 + SESSION_BYTES], data[1 + SESSION_BYTES : at], name, data[end:]
