"""Stopping, destroying and rebuilding a protection domain, by a lifecycle cap: what its holder calls.

The initial task does what is asked: it knows the plan, and gives a rebuilt domain what the description gives it, no
more. The holder decides when, and learns nothing but what is in ``Status``. A cap is for one domain.

| label | operation | words                   | what is done; each may be repeated                                        |
|------:|-----------|-------------------------|---------------------------------------------------------------------------|
|     1 | stop      |                         | the thread is suspended                                                   |
|     2 | destroy   |                         | its authority over devices ends, its callers get ``SERVER_DIED``, then its memory is taken back |
|     3 | rebuild   | a program, or none      | destroyed if it was not, and built anew, not started                      |
|     4 | start     |                         | a new life begins, a stopped one goes on                                  |
|     5 | status    |                         | nothing                                                                   |

``rebuild``'s word is 0 for the domain's own program, n for its n-th alternative; without it the program stays. The
reply has four words, those of ``Status``, and label 0 or that of an error:

| label | error        | meaning                                                                     |
|------:|--------------|-----------------------------------------------------------------------------|
|     1 | BadOperation | there is no operation with that label                                       |
|     2 | BadArgument  | too many words, or no program of that number                                |
|     3 | NoMemory     | memory or slots did not suffice; the domain is destroyed                    |
|     4 | NotBuilt     | a destroyed domain cannot be started                                        |
|     5 | Refused      | the kernel refused a step; of a rebuild, the domain is destroyed            |
"""  # noqa: E501

from enum import IntEnum
from typing import Final

from attrs import frozen

from capkernel.abi.message import LABEL_BITS
from capkernel.user.syscalls import Message, Syscalls

SERVER_DIED: Final = (1 << LABEL_BITS) - 1
"""The label of the answer that a caller gets whose server was destroyed; no server answers with it."""


class Operation(IntEnum):
    """What is asked, as a label."""

    STOP = 1
    DESTROY = 2
    REBUILD = 3
    START = 4
    STATUS = 5


class Refusal(IntEnum):
    """Why it was not done, as the label of the reply; 0 is none."""

    BAD_OPERATION = 1
    BAD_ARGUMENT = 2
    NO_MEMORY = 3
    NOT_BUILT = 4
    REFUSED = 5


class State(IntEnum):
    """Where a domain stands, as far as the initial task knows. It hears only of faults that nobody else handles."""

    DESTROYED = 0
    BUILT = 1
    RUNNING = 2
    STOPPED = 3
    FAULTED = 4


@frozen
class Status:
    """A domain: its state, which life of it this is (from 1 on), which program it has, its pages of memory."""

    state: State
    incarnation: int
    program: int
    pages: int

    @property
    def words(self) -> tuple[int, ...]:
        """As the words of a reply."""
        return self.state, self.incarnation, self.program, self.pages


class LifecycleError(Exception):
    """The initial task did not do what was asked. ``status`` is how the domain stands."""

    def __init__(self, operation: Operation, refusal: Refusal, status: Status) -> None:
        self.operation = operation
        self.refusal = refusal
        self.status = status
        super().__init__(f"{operation.name.lower()} was refused: {refusal.name}; the domain is {status.state.name}")


async def stop(sys: Syscalls, cap: int) -> Status:
    """Suspend the domain's thread."""
    return await _ask(sys, cap, Operation.STOP)


async def destroy(sys: Syscalls, cap: int) -> Status:
    """Destroy the domain; when this returns it reaches no device, nor does a device reach memory in its name."""
    return await _ask(sys, cap, Operation.DESTROY)


async def rebuild(sys: Syscalls, cap: int, program: int | None = None) -> Status:
    """Build the domain anew, with its own program (0), an alternative (1, 2, …) or the one that it has (None)."""
    return await _ask(sys, cap, Operation.REBUILD, () if program is None else (program,))


async def start(sys: Syscalls, cap: int) -> Status:
    """Start a domain that was built, or let one that was stopped go on."""
    return await _ask(sys, cap, Operation.START)


async def status(sys: Syscalls, cap: int) -> Status:
    """How the domain stands."""
    return await _ask(sys, cap, Operation.STATUS)


async def _ask(sys: Syscalls, cap: int, operation: Operation, words: tuple[int, ...] = ()) -> Status:
    reply = await sys.call(cap, Message(operation, words))
    state, incarnation, program, pages = reply.words
    found = Status(State(state), incarnation, program, pages)
    if reply.label:
        raise LifecycleError(operation, Refusal(reply.label), found)
    return found
