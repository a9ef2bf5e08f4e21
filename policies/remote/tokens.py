"""Tokens: caps as bytes, in the format of Biscuit (its specification, version 3: https://doc.biscuitsec.org).

A token's first block is signed by the gateway that made it, and says what it leads to and who may use it:

    gateway("c"); object("library"); interface(3); holder(hex:…);
    check if now($t), $t < 1767225600;
    check if operation($o), {"Directory.list", "File.read"}.contains($o);

Whoever has the token appends blocks of further such checks, without asking anybody; other rules and checks are refused,
since to evaluate them may take any time. A holder hands it to another machine by
a *third-party block*, ``delegate(hex:…)``, signed with the holder's own key for this token and no other. Each block is
signed with a key that the one before it names, so none can be taken out, changed, or put on another token.

The library draws the keys between blocks from the host, so a token's bytes differ from run to run; its size does not.
"""

import hashlib
import importlib
import re
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from capkernel.protocols.failures import Malformed, NotPermitted
from capkernel.protocols.remote import Terms

_biscuit: Any = importlib.import_module("biscuit_auth")
"""Its own description of its types lacks much of what is used here."""
MAX_BYTES: Final = 4096
"""Of a token that is looked at."""
MAX_BLOCKS: Final = 16
ID_BYTES: Final = 16
_PATIENCE: Final = timedelta(seconds=10)
"""For a token's checks: the library's own limit is a millisecond of the host's, which would make runs differ."""
_CHECKS: Final = (
    r"check if now\(\$t\), \$t < -?[0-9]+;\n"
    r'|check if operation\(\$o\), \{("[^"\n]*"(, "[^"\n]*")*|,)\}\.contains\(\$o\);\n'
)
_FIRST: Final = re.compile(
    r'(gateway\("[^"\n]*"\);\n|object\("[^"\n]*"\);\n|interface\([0-9]+\);\n|holder\(hex:[0-9a-f]*\);\n|'
    rf"{_CHECKS})*"
)
_FURTHER: Final = re.compile(rf"(delegate\(hex:[0-9a-f]*\);\n|{_CHECKS})*")
"""What blocks say. Anything else, a rule or a check that joins facts, might take the library hours to evaluate."""
_ISSUER: Final = re.compile(r'^gateway\("([^"\\]+)"\);$', re.MULTILINE)


class Identity:
    """A gateway's name and key pair (Ed25519); the secret has 32 bytes. Raises ValueError for another size."""

    def __init__(self, name: str, secret: bytes) -> None:
        if len(secret) != 32:
            raise ValueError(f"the secret key of {name} has {len(secret)} bytes, not 32")
        self.name = name
        self.secret = secret
        self.private = _biscuit.PrivateKey.from_bytes(secret, _biscuit.Algorithm.Ed25519)
        self.public = bytes(_biscuit.KeyPair.from_private_key(self.private).public_key.to_bytes())


@frozen(eq=False)
class Token:
    """A token whose signatures are right. ``holder`` is the public key for which it was made, ``holders`` those who may
    use it now; ``ids`` name its blocks: to revoke one is to revoke every token that contains it.
    """

    biscuit: Any
    data: bytes
    object: str
    interface: int
    holder: bytes
    holders: frozenset[bytes]
    ids: tuple[bytes, ...]

    @property
    def grant(self) -> bytes:
        """The name under which two gateways speak of it."""
        return grant_of(self.data)

    def check(self, operation: str, now: int) -> None:
        """Whether it allows an operation at a second since 1970. Raises NotPermitted, which says what does not."""
        try:
            _authorizer(self.biscuit, operation, now).authorize()
        except (_biscuit.AuthorizationError, _biscuit.DataLogError) as error:
            reason = str(error).rpartition("failed: ")[2]
            raise NotPermitted(f"the token does not allow {operation} at {now}: {reason}") from None


def grant_of(data: bytes) -> bytes:
    """The name of a token between gateways."""
    return hashlib.sha256(data).digest()[:ID_BYTES]


def mint(identity: Identity, thing: str, interface: int, holder: bytes, terms: Terms) -> bytes:
    """A token for an object of this gateway."""
    builder = _biscuit.BiscuitBuilder(
        "gateway({gateway}); object({thing}); interface({interface}); holder({holder})",
        {"gateway": identity.name, "thing": thing, "interface": interface, "holder": holder},
    )
    builder.merge(_block(terms))
    return bytes(builder.build(identity.private).to_bytes())


def issuer_of(data: bytes) -> str:
    """Whose token this says it is; nothing has been verified. Raises Malformed."""
    if len(data) > MAX_BYTES:
        raise Malformed(f"a token has at most {MAX_BYTES} bytes, not {len(data)}")
    try:
        token = _biscuit.UnverifiedBiscuit.from_base64(urlsafe_b64encode(data).decode())
        found = _ISSUER.search(token.block_source(0))
    except (_biscuit.BiscuitValidationError, _biscuit.BiscuitBlockError):
        found = None
    if found is None:
        raise Malformed("this is no token of a gateway")
    return found[1]


def read(data: bytes, issuer: bytes) -> Token:
    """A token of the gateway whose public key this is. Raises NotPermitted: forged, damaged, of somebody
    else, or with a block that no gateway makes.
    """
    if len(data) > MAX_BYTES:
        raise NotPermitted(f"a token has at most {MAX_BYTES} bytes, not {len(data)}")
    try:
        biscuit = _biscuit.Biscuit.from_bytes(data, _public(issuer))
        for index in range(biscuit.block_count()):
            if not (_FURTHER if index else _FIRST).fullmatch(biscuit.block_source(index)):
                raise NotPermitted("the token says what no gateway says")
        authorizer = _authorizer(biscuit, "", 0)
        thing, interface, holder = _said(authorizer)
    except (_biscuit.BiscuitValidationError, _biscuit.AuthorizationError, _biscuit.DataLogError):
        raise NotPermitted("the token is forged or damaged: its signatures are not this gateway's") from None
    if biscuit.block_count() > MAX_BLOCKS:
        raise NotPermitted(f"a token has at most {MAX_BLOCKS} blocks, not {biscuit.block_count()}")
    ids = tuple(bytes.fromhex(each)[:ID_BYTES] for each in biscuit.revocation_ids)
    holders = _holders(biscuit, authorizer, holder)
    return Token(biscuit, data, thing, interface, holder, holders, ids)


def attenuate(token: Token, terms: Terms) -> bytes:
    """A token that allows no more than ``terms`` and no more than it did. Anybody who has it can make that."""
    return bytes(token.biscuit.append(_block(terms)).to_bytes())


def delegate(token: Token, identity: Identity, holder: bytes) -> bytes:
    """A token that another may use besides, signed by one of those who may. Raises NotPermitted."""
    if identity.public not in token.holders:
        raise NotPermitted(f"{identity.name} may not use this token, so it cannot hand it on")
    block = _biscuit.BlockBuilder("delegate({holder})", {"holder": holder})
    signed = token.biscuit.third_party_request().create_block(identity.private, block)
    return bytes(token.biscuit.append_third_party(_public(identity.public), signed).to_bytes())


def _block(terms: Terms) -> Any:
    block = _biscuit.BlockBuilder("check if now($t), $t < {until}", {"until": terms.until})
    if terms.operations is not None:
        code = "check if operation($o), {allowed}.contains($o)"
        block.add_code(code, {"allowed": set(terms.operations)})
    return block


def _holders(biscuit: Any, authorizer: Any, holder: bytes) -> frozenset[bytes]:
    """For whom it was made, and to whom one of those handed it on, in the order of the blocks."""
    holders = {holder}
    for index in range(1, biscuit.block_count()):
        signer = biscuit.block_external_key(index)
        if signer is None or bytes(signer.to_bytes()) not in holders:
            continue
        rule = _biscuit.Rule("d($h) <- delegate($h) trusting {signer}", {}, {"signer": signer})
        holders |= {bytes(fact.terms[0]) for fact in authorizer.query(rule)}
    return frozenset(holders)


def _authorizer(biscuit: Any, operation: str, now: int) -> Any:
    builder = _biscuit.AuthorizerBuilder(
        "now({now}); operation({operation}); allow if object($o)", {"now": now, "operation": operation}
    )
    limits = builder.limits()
    limits.max_time = _PATIENCE
    builder.set_limits(limits)
    return builder.build(biscuit)


def _said(authorizer: Any) -> tuple[str, int, bytes]:
    """What the first block says, once. Raises NotPermitted."""
    found = authorizer.query(_biscuit.Rule("d($o, $i, $h) <- object($o), interface($i), holder($h)"))
    if len(found) != 1:
        raise NotPermitted("the token does not say what it leads to")
    thing, interface, holder = found[0].terms
    return str(thing), int(interface), bytes(holder)


def _public(key: bytes) -> Any:
    return _biscuit.PublicKey.from_bytes(key, _biscuit.Algorithm.Ed25519)
