"""What is plugged into a machine, as it is written on a command line: ``SLOT=KIND[:ARGUMENT]``.

virtio0=disk:FILE         a disk whose medium is a file, which must be there
virtio0=disk:16M          a disk in memory, new
virtio1=net               a network card without a cable
virtio1=net:tap:NAME      one whose cable is a TAP device of the host
virtio2=entropy:SEED      entropy that follows from a number
rtc0=clock:2026-01-31     a clock that shows this moment (ISO 8601, UTC) at boot
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from capkernel.abi.words import WORD_MASK
from hwmodel.block import BlockBacking, FileDisk, RamDisk
from hwmodel.board import Board
from hwmodel.network import NoPeer, Peer, TapPeer, TapUnavailable
from hwmodel.rtc import real_time_clock
from hwmodel.virtio import virtio_blk, virtio_net, virtio_rng
from hwmodel.wiring import DeviceFactory

VIRTIO, CLOCK = "virtio-mmio", "goldfish-rtc"
_SIZE: Final = re.compile(r"([0-9]+)([KMG])")
_SHIFTS: Final = {"K": 10, "M": 20, "G": 30}
LARGEST: Final = 1 << 50
"""Bytes of a disk in memory; only what was written costs any."""
DIGITS: Final = 100
"""Of a number, at most."""


class PlugError(ValueError):
    """What was to be plugged in cannot be; says what, and what would be right."""


def plugged(texts: Iterable[str], board: Board) -> dict[str, DeviceFactory]:
    """The devices for a machine after ``board``, by slot. Raises PlugError; files are opened."""
    devices: dict[str, DeviceFactory] = {}
    for text in texts:
        slot, separator, what = text.partition("=")
        kind, colon, argument = what.partition(":")
        if not separator or kind not in KINDS:
            raise PlugError(f"--device {text!r} is not SLOT=KIND[:ARGUMENT] with a kind of {', '.join(KINDS)}")
        if colon and not argument:
            raise PlugError(f"--device {text!r}: nothing stands behind the colon")
        if slot in devices:
            raise PlugError(f"--device {text!r}: something is in {slot} already")
        window, build = KINDS[kind]
        slots = [each.name for each in board.devices if each.kind == window]
        if slot not in slots:
            there = ", ".join(slots) or "no slot of that kind"
            raise PlugError(f"--device {text!r}: {kind} goes into one of the slots of {board.name}: {there}")
        try:
            devices[slot] = build(argument)
        except OSError as error:
            raise PlugError(f"--device {text!r}: {argument}: {error.strerror}") from None
        except ValueError as error:
            raise PlugError(f"--device {text!r}: {error}") from None
    return devices


def _disk(argument: str) -> DeviceFactory:
    return virtio_blk(_medium(argument))


def _medium(argument: str) -> BlockBacking:
    size = _SIZE.fullmatch(argument)
    if size:
        count = int(size[1][-DIGITS:]) << _SHIFTS[size[2]]
        if len(size[1]) > DIGITS or count > LARGEST:
            raise ValueError(f"a disk in memory has at most {LARGEST >> _SHIFTS['G']}G")
        return RamDisk(count)
    if not argument:
        raise ValueError("a disk is disk:FILE, or disk:SIZE with K, M or G for one in memory")
    return FileDisk(Path(argument).open("r+b", buffering=0))


def _card(argument: str) -> DeviceFactory:
    return virtio_net(_far_end(argument))


def _far_end(argument: str) -> Peer:
    if not argument:
        return NoPeer()
    if not is_tap(argument):
        raise ValueError("a cable is net for none, or net:tap:NAME")
    return tap(argument)


def is_tap(argument: str) -> bool:
    """Whether this is ``tap:NAME``."""
    kind, _, name = argument.partition(":")
    return kind == "tap" and bool(name)


def tap(argument: str) -> Peer:
    """The far end of a cable for ``tap:NAME``. Raises ValueError if the host gives us no such device."""
    try:
        return TapPeer(argument.partition(":")[2])
    except TapUnavailable as error:
        raise ValueError(str(error)) from None


def _entropy(argument: str) -> DeviceFactory:
    if not argument.isascii() or not argument.isdecimal() or len(argument) > DIGITS:
        raise ValueError(f"entropy is entropy:SEED, a number of at most {DIGITS} digits")
    return virtio_rng(int(argument))


def _clock(argument: str) -> DeviceFactory:
    try:
        moment = datetime.fromisoformat(argument)
    except ValueError as error:
        raise ValueError(f"a clock is clock:MOMENT, as clock:2026-01-31T12:00: {error}") from None
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if not 0 <= microseconds * 1000 <= WORD_MASK:
        raise ValueError("the clock counts nanoseconds since 1970 in 64 bits, until 2554")
    return real_time_clock(microseconds * 1000)


KINDS: Final[dict[str, tuple[str, Callable[[str], DeviceFactory]]]] = {
    "disk": (VIRTIO, _disk), "net": (VIRTIO, _card), "entropy": (VIRTIO, _entropy), "clock": (CLOCK, _clock),
}  # fmt: skip
"""The kind of window that each goes into, and what builds it."""
