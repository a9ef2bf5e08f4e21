"""An audit trail: records that survive any crash once they are acknowledged, and cannot be changed unnoticed."""

from abc import abstractmethod
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Interface, operation

MAX_TEXT: Final = 400
"""Bytes of UTF-8 in a record."""
MAX_BATCH: Final = 8
"""Records that are sealed together."""


@frozen
class TrailInfo:
    """How far the trail goes: its last record, the bytes of its file, and the head, by which a cut is found later.

    ``missing`` records were not written, and the trail could not say yet how many they are.
    """

    number: int
    size: int
    head: str
    missing: int


class Audit(Interface, number=40):
    """A place for records. The author of a record follows from the cap."""

    @operation(1)
    @abstractmethod
    async def record(self, texts: list[str]) -> int:
        """Write 1 to 8 records of at most 400 bytes each; the number of the last one. When this is answered they are
        sealed and survive whatever crashes. After a failure they may be there or not.

        Before a record is lost the trail says that from there on some are missing; how many, with the next that is
        written.

        QuotaExceeded if too many come too fast, NoSpace, DeviceError, Corrupt if the trail that was found does not
        verify: then nothing is written any more, until somebody has looked at it.
        """


class AuditReader(Interface, number=41):
    """The trail, for whoever is to check it."""

    @operation(1)
    @abstractmethod
    async def public_key(self) -> bytes:
        """The key with which seals are verified (Ed25519, 32 bytes)."""

    @operation(2)
    @abstractmethod
    async def info(self) -> TrailInfo:
        """How far it goes."""

    @operation(3)
    @abstractmethod
    async def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes of its file, at most 768."""
