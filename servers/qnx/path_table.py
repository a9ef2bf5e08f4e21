"""Which resource manager is asked for a path, and in which order: the table of the path manager, without any means.

Prefixes end at a "/": /dev/ser is no prefix of /dev/ser1. Longer ones come first. Several attachments at the same path
are a union: they are tried one after the other, and which is first was said when they were attached.
"""

from typing import Final

from attrs import define, field, frozen

from capkernel.protocols.failures import Malformed, NotFound, QuotaExceeded
from capkernel.protocols.qnx_paths import MAX_PATH, Candidate, Place

MAX_CANDIDATES: Final = 8
MAX_ATTACHMENTS: Final = 32
"""That one client may have."""


@frozen
class Attachment:
    """Something at a path: whose it is, and the address of the cap to it."""

    number: int
    owner: int
    path: str
    cap: int
    is_directory: bool
    is_opaque: bool


@define
class PathTable:
    """All attachments, those at the same path in the order in which they are tried."""

    attachments: list[Attachment] = field(factory=list)
    _number: int = 0

    def attach(
        self, owner: int, path: str, cap: int, place: Place, *, is_directory: bool, is_opaque: bool
    ) -> Attachment:
        """One more. Raises Malformed, QuotaExceeded."""
        path = checked(path)
        if sum(each.owner == owner for each in self.attachments) >= MAX_ATTACHMENTS:
            raise QuotaExceeded(f"this client has attached {MAX_ATTACHMENTS} times")
        self._number += 1
        made = Attachment(self._number, owner, path, cap, is_directory, is_opaque)
        self.attachments.insert(0 if place is Place.BEFORE else len(self.attachments), made)
        return made

    def detach(self, owner: int, number: int) -> Attachment:
        """One less. Raises NotFound."""
        found = self.find(number)
        if found.owner != owner:
            raise NotFound(f"there is no attachment {number} of this client")
        self.attachments.remove(found)
        return found

    def find(self, number: int) -> Attachment:
        """The attachment of that number. Raises NotFound."""
        for each in self.attachments:
            if each.number == number:
                return each
        raise NotFound(f"there is no attachment {number}")

    def candidates(self, path: str) -> list[Candidate]:
        """Who is to be asked for a path, in order. Raises Malformed."""
        path = checked(path)
        matching = [each for each in self.attachments if _matches(each, path)]
        # Sorting is stable: those at the same path stay in the order of the table.
        matching.sort(key=lambda each: -len(each.path))
        opaque = next((each.path for each in matching if each.is_opaque), "")
        seen = [each for each in matching if len(each.path) >= len(opaque)]
        return [Candidate(each.number, _rest(each, path)) for each in seen[:MAX_CANDIDATES]]


def checked(path: str) -> str:
    """A path that can be one. Raises Malformed."""
    names = path.split("/")[1:]
    if path == "/":
        return path
    if not path.startswith("/") or len(path.encode()) > MAX_PATH or not path.isprintable():
        raise Malformed(f"{path[:64]!r} is no path: one is absolute, printable, and of at most {MAX_PATH} bytes")
    if any(name in ("", ".", "..") for name in names):
        raise Malformed(f"{path!r} has a name that is empty, '.' or '..'")
    return path


def _matches(each: Attachment, path: str) -> bool:
    if each.path == path:
        return True
    return each.is_directory and path.startswith("/" if each.path == "/" else f"{each.path}/")


def _rest(each: Attachment, path: str) -> str:
    return path[len(each.path) :].lstrip("/")
