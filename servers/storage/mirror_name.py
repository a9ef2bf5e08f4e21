"""By what a mirror knows its disks, as the description says it in TOML.

    name = "mirror"         # its name, of which its disks' labels have a digest
    identity = "0a0b…"      # or that digest itself, of 16 bytes
    chance = "0c0d…"        # what makes a line of its own another than anybody else's; none is "", or not said
"""

import tomllib
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from capkernel.protocols.mirror_label import IDENTITY
from capkernel.user.tables import Given, Wrong, WrongTable
from servers.storage.mirror_layout import identity_of

KEYS: Final = ("name", "identity", "chance")


class MirrorNameError(WrongTable):
    """The table says what cannot be; says where."""


@frozen
class MirrorName:
    """What its disks are known by, and chance: bytes."""

    identity: bytes
    chance: bytes = b""


def read_mirror_name(text: str) -> MirrorName:
    """The table. Raises MirrorNameError."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MirrorNameError(f"this is no TOML: {error}") from None
    for key, value in said.items():
        if key not in KEYS:
            raise MirrorNameError(f"nobody reads {key!r}", (key,), f"there are {', '.join(KEYS)}")
        if not isinstance(value, str) or not (value or key == "chance"):
            raise MirrorNameError(f"{key} is {value!r}", (key,), "text, which is not empty")
    chance = _bytes(said, "chance") if "chance" in said else b""
    if "identity" not in said:
        if "name" not in said:
            raise MirrorNameError("neither name nor identity is said", (), 'as in name = "mirror"')
        return MirrorName(identity_of(said["name"]), chance)
    identity = _bytes(said, "identity")
    if len(identity) != IDENTITY:
        raise MirrorNameError(f"identity has {len(identity)} bytes", ("identity",), f"{IDENTITY} bytes")
    return MirrorName(identity, chance)


def _bytes(said: dict[str, str], key: str) -> bytes:
    try:
        return bytes.fromhex(said[key])
    except ValueError:
        raise MirrorNameError(f"{key} is {said[key]!r}", (key,), "hexadecimal digits, two for each byte") from None


def judge(given: Given) -> Iterable[Wrong]:
    """What is wrong with it, before the boot."""
    read_mirror_name(given.text)
    return ()
