"""Error numbers, with QNX's values (``errno.h``), and how they travel in the label of a reply."""

from enum import IntEnum
from typing import Final

from capkernel.user import lifecycle
from capkernel.user.syscalls import Message

ERROR: Final = 1 << 40
"""Bit of a reply's label: the rest of it is an error number. Without it the label is the status."""
MAX_STATUS: Final = (1 << 31) - 1


class Errno(IntEnum):
    """Why something was not done."""

    EPERM = 1
    ENOENT = 2
    ESRCH = 3
    EINTR = 4
    EBADF = 9
    EAGAIN = 11
    ENOMEM = 12
    EBUSY = 16
    EINVAL = 22
    ENOSYS = 89
    ETIMEDOUT = 260


class QnxError(Exception):
    """A call of the library that failed; ``errno`` says why, a number that is not known here stays a number."""

    def __init__(self, errno: int, text: str = "") -> None:
        self.errno = errno
        name = Errno(errno).name if errno in set(Errno) else f"error {errno}"
        super().__init__(f"{name}: {text}" if text else name)


def error_message(errno: int) -> Message:
    """The reply that makes ``MsgSend`` fail."""
    return Message(ERROR | errno)


def errno_of(label: int) -> int:
    """The error number in a reply's label, 0 if it is a status. ESRCH is what the kernel of QNX answers, and here the
    initial task, when the server dies before it replied.
    """
    if label == lifecycle.SERVER_DIED:
        return Errno.ESRCH
    return label & ~ERROR if label & ERROR else 0
