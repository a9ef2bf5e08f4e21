"""Bad news for the caller (``SyscallError``), for the fault handler (``LookupFault``), and a pause (``Preempted``).

Only look-up and decode raise the first two; only a long operation raises the third.
"""

from capkernel.abi import errors as err
from capkernel.kernel.objects import LookupFailure


class SyscallError(Exception):
    """An invocation is refused: error code (``abi.errors``) and the words that the reply carries."""

    def __init__(self, code: int, *words: int) -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words


class LookupFault(Exception):
    """A cap address did not resolve."""

    def __init__(self, kind: int, *words: int) -> None:
        super().__init__(kind, words)
        self.failure = LookupFailure(kind, words)


class Preempted(Exception):
    """A long operation stopped at a preemption point; its system call will be made again."""


def invalid_argument(number: int) -> SyscallError:
    """Argument ``number`` makes no sense."""
    return SyscallError(err.INVALID_ARGUMENT, number)


def invalid_capability(number: int) -> SyscallError:
    """The cap at position ``number`` (0: the invoked one) is of the wrong kind or state."""
    return SyscallError(err.INVALID_CAPABILITY, number)


def illegal_operation() -> SyscallError:
    """The object's state, or its kind, does not allow this."""
    return SyscallError(err.ILLEGAL_OPERATION)


def range_error(low: int, high: int) -> SyscallError:
    """A number must lie in ``low`` .. ``high``."""
    return SyscallError(err.RANGE_ERROR, low, high)


def truncated_message() -> SyscallError:
    """Fewer words or caps than the invocation takes."""
    return SyscallError(err.TRUNCATED_MESSAGE)


def failed_lookup(kind: int, *words: int, is_source: bool = False) -> SyscallError:
    """A CNode address did not lead to a slot."""
    return SyscallError(err.FAILED_LOOKUP, int(is_source), kind, *words)
