"""Exceptions as messages: whoever has a right to the port that was set hears of a thread's fault, and may mend it.

A thread has an exception port of its own, one of its task, and one of the host. They are asked in this order until one
answers that the thread may go on; if none does, the task is ended. A port that is dead, whose queue is full, or whose
holder gives up the right for the answer, counts as one that refuses.

Source: D. Black et al., *The Mach Exception Handling Facility* (1988).
"""

import struct
from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import frozen

from capkernel.abi.registers import USER_CONTEXT
from capkernel.protocols.failures import Malformed
from capkernel.protocols.interface import Interface, operation
from capkernel.protocols.mach_ports import SendRight
from capkernel.user.codec import Word

EXCEPTION_RAISE: Final = 2402
"""The ``id`` of a message about an exception, and of its answer."""
REGISTERS: Final = len(USER_CONTEXT)
_HEADER: Final = struct.Struct("<5Q")
_STATE: Final = struct.Struct(f"<{REGISTERS}Q")


class Level(Enum):
    """Whose exception port."""

    THREAD = 1
    TASK = 2
    HOST = 3


@frozen
class RaisedException:
    """What happened to a thread: ``label`` and ``words`` of the fault (``abi.faults``), and the registers.

    ``task`` is the task's number. The registers are in the order of ``abi.registers.USER_CONTEXT``, the pc first.
    """

    task: int
    level: Level
    label: int
    code: int
    subcode: int
    registers: tuple[int, ...]

    def encode(self) -> bytes:
        """As a message's data."""
        header = _HEADER.pack(self.task, self.level.value, self.label, self.code, self.subcode)
        return header + _STATE.pack(*self.registers)

    @classmethod
    def decode(cls, data: bytes) -> "RaisedException":
        """From a message's data. Raises Malformed."""
        if len(data) != _HEADER.size + _STATE.size:
            raise Malformed(f"an exception has {_HEADER.size + _STATE.size} bytes, not {len(data)}")
        task, level, label, code, subcode = _HEADER.unpack_from(data)
        if level not in [each.value for each in Level]:
            raise Malformed(f"there is no exception port of level {level}")
        return cls(task, Level(level), label, code, subcode, _STATE.unpack_from(data, _HEADER.size))


def encode_state(registers: tuple[int, ...] | list[int]) -> bytes:
    """The answer that lets a thread go on with these registers; an empty answer lets it go on as it is."""
    return _STATE.pack(*registers)


def decode_state(data: bytes) -> tuple[int, ...] | None:
    """The registers in an answer, None if they are to stay. Raises Malformed."""
    if not data:
        return None
    if len(data) != _STATE.size:
        raise Malformed(f"a thread's state has {_STATE.size} bytes, not {len(data)}")
    return _STATE.unpack(data)


class Thread(Interface, number=87):
    """A thread and the task that it is in, for who controls it."""

    @operation(1)
    @abstractmethod
    async def get_state(self) -> list[Word]:
        """The registers, in the order of ``abi.registers.USER_CONTEXT``. Gone if the task has ended."""

    @operation(2)
    @abstractmethod
    async def set_state(self, registers: list[Word]) -> None:
        """Set the first registers; whether it runs does not change. Malformed if there are more; Gone."""

    @operation(3)
    @abstractmethod
    async def suspend(self) -> None:
        """Stop the thread. Gone."""

    @operation(4)
    @abstractmethod
    async def resume(self) -> None:
        """Let the thread go on; one that waits for an exception to be answered does so again. Gone."""

    @operation(5)
    @abstractmethod
    async def set_exception_port(self, level: Level, handler: SendRight) -> None:
        """Ask this port of the thread's or the task's exceptions, instead of one that was set before; a cap that was
        derived for this. NotPermitted for the host's.
        """

    @operation(6)
    @abstractmethod
    async def terminate(self) -> None:
        """End the task."""


class HostControl(Interface, number=88):
    """All tasks of a host."""

    @operation(1)
    @abstractmethod
    async def thread(self, task: int) -> Thread:
        """A task's thread. NotFound."""

    @operation(2)
    @abstractmethod
    async def set_exception_port(self, handler: SendRight) -> None:
        """Ask this port of exceptions that neither the thread's nor the task's port has answered."""
