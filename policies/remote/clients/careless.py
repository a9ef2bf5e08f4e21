"""Checks with some left out, to show what each is good for. Nobody should use them."""

import importlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from capkernel.protocols.failures import NotPermitted
from policies.remote.delivery import Delivery
from policies.remote.gateway import Checks
from policies.remote.handshake import Answer, Hello, Random
from policies.remote.objects import Grant, Revocations, Thing
from policies.remote.sessions import Machine
from policies.remote.tokens import ID_BYTES, Token

SIGNATURES, HOLDER, EXPIRY, REVOCATION = "signatures", "holder", "expiry", "revocation"
PRESENTED, NUMBERS, SESSION, TRANSCRIPT = "presented", "numbers", "session", "transcript"
ALL: Final = (SIGNATURES, HOLDER, EXPIRY, REVOCATION, PRESENTED, NUMBERS, SESSION, TRANSCRIPT)
"""What can be left out."""
_biscuit: Any = importlib.import_module("biscuit_auth")
_DELEGATED: Final = re.compile(r"^delegate\(hex:([0-9a-f]+)\);$", re.MULTILINE)


class AnyDelivery(Delivery):
    """Takes what arrives again for something new."""

    def is_new(self, number: int) -> bool:
        """It always is."""
        return number < self.expected or super().is_new(number)

    def _completed(self) -> list[bytes]:
        again = [self._early.pop(number)[1] for number in sorted(self._early) if number < self.expected]
        return again + super()._completed()


class AnythingGoes(Token):
    """A token that nobody showed."""

    def check(self, operation: str, now: int) -> None:
        """All is allowed."""


class CarelessChecks(Checks):
    """What a gateway verifies, but for what is left out."""

    def __init__(self, left_out: frozenset[str]) -> None:
        self.left_out = left_out

    def read(self, data: bytes, issuer: bytes, presenter: bytes) -> Token:
        """``signatures``: a token is what it says, whoever signed which of its blocks."""
        return believed(data) if SIGNATURES in self.left_out else super().read(data, issuer, presenter)

    def holder(self, token: Token, machine: Machine) -> None:
        """``holder``: who has a token may use it."""
        if HOLDER not in self.left_out:
            super().holder(token, machine)

    def second(self, now: int) -> int:
        """``expiry``: it is always the beginning of 1970."""
        return 0 if EXPIRY in self.left_out else super().second(now)

    def revoked(self, revocations: Revocations, token: Token) -> None:
        """``revocation``: importers are told, and that is that."""
        if REVOCATION not in self.left_out:
            super().revoked(revocations, token)

    def end(self, grants: dict[tuple[str, bytes], Grant], key: tuple[str, bytes]) -> None:
        """As above."""
        if REVOCATION not in self.left_out:
            super().end(grants, key)

    def presented(self, grant: Grant | None, named: bytes, things: Mapping[str, Thing], machine: Machine) -> Grant:
        """``presented``: who names an object may use it."""
        thing = things.get(named.decode(errors="replace"))
        if PRESENTED not in self.left_out or grant is not None or thing is None:
            return super().presented(grant, named, things, machine)
        token = AnythingGoes(None, b"", thing.name, thing.interface.number, machine.key, frozenset({machine.key}), ())
        return Grant(token, thing, machine)

    def delivery(self) -> Delivery:
        """``numbers``: a segment that arrives again is delivered again."""
        return AnyDelivery() if NUMBERS in self.left_out else super().delivery()

    def secret(self, random: Random) -> bytes:
        """``session``: the key for a session is always the same."""
        return bytes(32) if SESSION in self.left_out else super().secret(random)

    def bound(self, header: bytes) -> bytes:
        """``session``: a record does not say of which session it is."""
        return b"" if SESSION in self.left_out else super().bound(header)

    def signed(self, hello: Hello, answer: Answer) -> bytes:
        """``transcript``: what was offered is not signed."""
        return super().signed(evolve(hello, suites=()) if TRANSCRIPT in self.left_out else hello, answer)


def believed(data: bytes) -> Token:
    """A token as its blocks say, whoever signed them. Raises NotPermitted for what is none at all."""
    try:
        seen = _biscuit.UnverifiedBiscuit.from_base64(urlsafe_b64encode(data).decode())
        sources = [seen.block_source(index) for index in range(seen.block_count())]
        ids = tuple(bytes.fromhex(each)[:ID_BYTES] for each in seen.revocation_ids)
    except (_biscuit.BiscuitValidationError, _biscuit.BiscuitBlockError):
        raise NotPermitted("this is no token") from None
    copy = _biscuit.BiscuitBuilder(sources[0]).build(_biscuit.KeyPair().private_key)
    holders = set()
    for source in sources[1:]:
        holders |= {bytes.fromhex(each) for each in _DELEGATED.findall(source)}
        copy = copy.append(_biscuit.BlockBuilder(source))
    said = dict(re.findall(r"^(\w+)\((.*)\);$", sources[0], re.MULTILINE))
    holder = bytes.fromhex(said["holder"].removeprefix("hex:"))
    return Token(
        copy, data, said["object"].strip('"'), int(said["interface"]), holder, frozenset({holder, *holders}), ids
    )  # fmt: skip
