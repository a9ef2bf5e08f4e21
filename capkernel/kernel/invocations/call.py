"""One invocation as it arrives: label, message words, extra caps."""

from collections.abc import Callable

from capkernel.abi.message import N_MSG_REGISTERS
from capkernel.abi.registers import A2, MSG_REGISTERS
from capkernel.kernel.errors import truncated_message
from capkernel.kernel.objects import TCB, Cap, Slot
from capkernel.kernel.state import State

Results = tuple[int, ...] | list[int] | None
"""Words that an invocation answers; None if it answers only that it was done."""

Invocation = Callable[[], Results]
"""A decoded invocation: a ``functools.partial`` of the ``perform_`` function and the objects it was resolved to."""

Decoder = Callable[..., Invocation]


class Call:
    """The caller's message. ``length`` is what the caller can really have sent (4 without an IPC buffer)."""

    __slots__ = ("buffer", "extra_caps", "label", "length", "state", "thread")

    def __init__(self, state: State, thread: TCB, label: int, length: int, buffer: int, extra: list[Slot]) -> None:
        self.state = state
        self.thread = thread
        self.label = label
        self.length = length
        self.buffer = buffer
        self.extra_caps = extra

    def arg(self, index: int) -> int:
        """Message word ``index``: the first four are registers, the others lie in the IPC buffer."""
        if index < N_MSG_REGISTERS:
            return self.thread.registers[MSG_REGISTERS[index]]
        return self.state.machine.read_word(self.buffer + 8 + 8 * index)

    def args(self, count: int) -> list[int]:
        """The first ``count`` message words."""
        words = self.thread.registers[A2 : A2 + min(count, N_MSG_REGISTERS)]
        for index in range(N_MSG_REGISTERS, count):
            words.append(self.state.machine.read_word(self.buffer + 8 + 8 * index))
        return words

    def require(self, words: int, caps: int = 0) -> None:
        """Raise TruncatedMessage unless at least so many words and extra caps are there."""
        if self.length < words or len(self.extra_caps) < caps:
            raise truncated_message()

    def cap(self, index: int) -> Cap:
        """The cap in the slot of extra cap ``index``."""
        return self.extra_caps[index].cap
