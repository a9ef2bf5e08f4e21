"""One invocation on its way from the caller's registers to what it does."""

from collections.abc import Callable
from typing import NamedTuple

from capkernel.abi import errors as err
from specs.abstract.objects import Ptr
from specs.abstract.state import CSlot, SyscallError

Results = list[int] | None
"""The words that an invocation answers; None if its answer is no more than that it was done."""

Invocation = Callable[[], Results]
"""What a decoded invocation will do to the state; it can no longer be refused."""


class Call(NamedTuple):
    """Who invokes what: the slot of the cap, the label, the words and the slots of the extra caps."""

    thread: Ptr
    slot: CSlot
    label: int
    length: int
    word: Callable[[int], int]
    extra_caps: tuple[CSlot, ...]

    def arg(self, index: int) -> int:
        """A word of the message."""
        return self.word(index)


def require(call: Call, words: int, caps: int = 0) -> None:
    """Raises TruncatedMessage if the message has fewer words or extra caps."""
    if call.length < words or len(call.extra_caps) < caps:
        raise SyscallError(err.TRUNCATED_MESSAGE)
