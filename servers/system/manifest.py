"""Which services a supervisor watches over, read from TOML:

[[service]]
label = "disk"      # its name in reports
child = 0           # its number as the supervisor's child: faults, channel 10 + n, lifecycle cap in slot 330 + n
patience = 2        # beats that it may be silent; 0: it gives no signs of life
asks = true         # somebody else decides what becomes of it when it stops
steady = 64         # beats after which its crashes are forgotten
alternatives = 1    # how many programs it has besides its ordinary one
relies_on = ["disk"] # labels of those for whose answers it waits: started anew with it if it gives no signs of life;
                    # it may complain of them, by their places in this list
beats = true        # it is the metronome: its beats are its signs of life
stands_in = true    # it is the metronome's understudy: so are its own
update_channel = 20 # by which it is asked for its state before an update; absent: it has none
"""

import tomllib
from typing import Any, Final

from attrs import frozen

from capkernel.user.loop import MAX_CHANNELS
from capkernel.user.tables import WrongTable
from servers.system.reincarnation import STEADY, Service

FIRST_CHANNEL: Final = 10
FIRST_LIFECYCLE: Final = 330
MAX_CHILD: Final = 39
_RANGES: Final = {
    "child": range(MAX_CHILD + 1), "patience": range(1 << 32), "steady": range(1 << 32), "alternatives": range(256),
    "update_channel": range(MAX_CHANNELS),
}  # fmt: skip
_KEYS: Final = {
    "label": str, "child": int, "patience": int, "asks": bool, "steady": int, "alternatives": int,
    "update_channel": int, "relies_on": list, "beats": bool,
    "stands_in": bool,
}  # fmt: skip


class ManifestError(WrongTable):
    """The manifest says what cannot be; says where."""


@frozen
class Watched:
    """A service as the manifest has it."""

    label: str
    child: int
    patience: int
    asks: bool
    steady: int
    alternatives: int
    update_channel: int | None
    relies_on: tuple[str, ...]
    beats: bool = False
    stands_in: bool = False

    @property
    def channel(self) -> int:
        """By which it is asked for signs of life."""
        return FIRST_CHANNEL + self.child

    @property
    def lifecycle(self) -> int:
        """The address of the cap by which it is destroyed and rebuilt."""
        return FIRST_LIFECYCLE + self.child

    def service(self) -> Service:
        """What the table knows of it at first. Who beats time is started at once after any crash: while it is not
        there, nobody knows how long to wait.
        """
        return Service(self.label, self.patience, self.asks, self.alternatives, 0 if self.beats else self.steady)


def read_manifest(text: str) -> list[Watched]:
    """The services. Raises ManifestError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"the manifest is no TOML: {error}") from None
    entries = data.get("service", [])
    if (unknown := sorted(set(data) - {"service"})) or not isinstance(entries, list):
        raise ManifestError("a manifest has nothing but [[service]] tables", unknown[:1] or ("service",))
    watched = [_watched(number, entry) for number, entry in enumerate(entries, 1)]
    for what in ("label", "child"):
        values = [getattr(each, what) for each in watched]
        for number, value in enumerate(values, 1):
            if value in values[: number - 1]:
                raise ManifestError(f"two services have the {what} {value!r}", ("service", number, what))
    for what in ("beats", "stands_in"):
        said = [number for number, each in enumerate(watched, 1) if getattr(each, what)]
        if len(said) > 1:
            is_one = "there is one metronome, and one understudy"
            raise ManifestError(f"two services say {what} = true; {is_one}", ("service", said[1], what))
    labels = {each.label for each in watched}
    for number, each in enumerate(watched, 1):
        for label in each.relies_on:
            if label not in labels or label == each.label:
                others = ", ".join(sorted(labels - {each.label})) or "none"
                raise ManifestError(
                    f"service {number}: it relies on {label!r}, which is no other service",
                    ("service", number, "relies_on"), f"others are {others}",
                )  # fmt: skip
    return watched


def _watched(number: int, entry: Any) -> Watched:
    where, at = f"service {number}", ("service", number)
    if not isinstance(entry, dict):
        raise ManifestError(f"{where} is no table", ("service",))
    for key, value in entry.items():
        if key not in _KEYS:
            raise ManifestError(f"{where}: {key} is unknown; there is {', '.join(_KEYS)}", (*at, key))
        if type(value) is not _KEYS[key]:
            raise ManifestError(f"{where}: {key} is {value!r}, not of type {_KEYS[key].__name__}", (*at, key))
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            raise ManifestError(f"{where}: relies_on is {value!r}, not a list of labels", (*at, key))
        if key in _RANGES and value not in _RANGES[key]:
            raise ManifestError(f"{where}: {key} is {value}; it is 0 to {_RANGES[key].stop - 1}", (*at, key))
    for key in ("label", "child"):
        if key not in entry:
            raise ManifestError(f"{where}: {key} is missing", at)
    return Watched(
        entry["label"], entry["child"], entry.get("patience", 2), entry.get("asks", False),
        entry.get("steady", STEADY), entry.get("alternatives", 0), entry.get("update_channel"),
        tuple(entry.get("relies_on", ())), entry.get("beats", False), entry.get("stands_in", False),
    )  # fmt: skip
