"""What a server may answer instead of a result. One family for all interfaces, so that a client can tell them apart."""

from typing import ClassVar, Final

FIRST_LABEL: Final = 0x100
"""Of a reply: labels from here on are failures. The kernel's own error codes are below, a result has label 0."""
_KINDS: dict[int, "type[Failure]"] = {}


class Failure(Exception):
    """A request was refused or could not be done; the server goes on. ``code`` travels in the reply's label."""

    code: ClassVar[int] = 0

    def __init_subclass__(cls, *, code: int) -> None:
        """Enter a kind of failure into the table."""
        if code in _KINDS:
            raise TypeError(f"failures {cls.__name__} and {_KINDS[code].__name__} have the same code {code}")
        cls.code = code
        _KINDS[code] = cls

    @property
    def label(self) -> int:
        """The label of a reply that reports this."""
        return FIRST_LABEL + self.code


class Malformed(Failure, code=1):
    """The request is not one of the interface's, or its arguments cannot be."""


class NotPermitted(Failure, code=2):
    """The cap that was used lacks the right."""


class Gone(Failure, code=3):
    """The object behind the cap was closed or revoked, or its server was started anew."""


class NotFound(Failure, code=4):
    """There is no such thing."""


class AlreadyExists(Failure, code=5):
    """There is one already."""


class NotEmpty(Failure, code=6):
    """It still contains something."""


class WrongKind(Failure, code=7):
    """It is of another kind: a directory where a file is needed, for instance."""


class NoSpace(Failure, code=8):
    """The device or the memory behind it is full."""


class QuotaExceeded(Failure, code=9):
    """What this client may use is used up."""


class DeviceError(Failure, code=10):
    """The device failed, and trying again did not help."""


class Busy(Failure, code=11):
    """Not now: too many requests wait already, or it is in use."""


class ServerDied(Failure, code=12):
    """The server stopped before it answered; whether it did what was asked is not known."""


class Unsupported(Failure, code=13):
    """This server cannot do that."""


class TimedOut(Failure, code=14):
    """It did not happen in time."""


class TooLarge(Failure, code=15):
    """More than fits into a message, a name or an object."""


class Refused(Failure, code=16):
    """The other side of a connection does not want it."""


class Corrupt(Failure, code=17):
    """What is stored contradicts itself."""


def failure_of(label: int, text: str) -> Failure:
    """The failure that a reply reports. One that is not known here is still a failure."""
    kind = _KINDS.get(label - FIRST_LABEL)
    return kind(text) if kind else Failure(f"failure {label:#x} of a kind that is not known here: {text}")


def kinds() -> tuple[type[Failure], ...]:
    """All kinds, by code."""
    return tuple(_KINDS[code] for code in sorted(_KINDS))
