"""Sending and receiving as a task does it: ``mach_msg`` on the interfaces of ``mach_ports``.

    task = connect(Task, connection, cap)
    port = await task.allocate(5)
    await send(server, 100, b"question", reply=make_send_once(port))
    answer = await receive(task, port)

Who owns what is never in doubt: when ``send`` returns the rights that were to move are in the message, and when it
raises they are all where they were. So an error path has nothing to give back that was given away.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import define, field, frozen

from capkernel.protocols.client import Stub
from capkernel.protocols.failures import Failure, Gone, ServerDied
from capkernel.protocols.mach_ports import (
    DEFAULT_LIMIT,
    FOREVER,
    MAX_INLINE,
    SEND_ONCE,
    DeadName,
    Disposition,
    Kind,
    Outgoing,
    ReceiveRight,
    RightInfo,
    SendOnceRight,
    SendRight,
    Task,
)

_MOVES: Final = (Disposition.MOVE_RECEIVE, Disposition.MOVE_SEND, Disposition.MOVE_SEND_ONCE)


@frozen
class Part:
    """A right that goes along with a message, and how."""

    disposition: Disposition
    right: Any


def copy_send(right: SendRight) -> Part:
    """A copy of a send right; the sender keeps his."""
    return Part(Disposition.COPY_SEND, right)


def move_send(right: SendRight) -> Part:
    """The sender's own send right."""
    return Part(Disposition.MOVE_SEND, right)


def move_send_once(right: SendOnceRight) -> Part:
    """The sender's own send-once right."""
    return Part(Disposition.MOVE_SEND_ONCE, right)


def move_receive(right: ReceiveRight) -> Part:
    """The receive right, with all messages that are queued."""
    return Part(Disposition.MOVE_RECEIVE, right)


def make_send(right: ReceiveRight) -> Part:
    """A new send right, made of the receive right."""
    return Part(Disposition.MAKE_SEND, right)


def make_send_once(right: ReceiveRight) -> Part:
    """A new send-once right, made of the receive right."""
    return Part(Disposition.MAKE_SEND_ONCE, right)


@define
class Mail:
    """A message that was received, with caps to its rights; one to a port that died on the way is None."""

    id: int
    data: bytes
    subject: int
    local: int
    sequence: int
    reply: Any = None
    rights: list[Any] = field(factory=list)

    async def release(self) -> None:
        """Give up all rights that came along; those that were given up or sent away meanwhile are not touched."""
        for right in [self.reply, *self.rights]:
            await release(right)


async def send(
    right: SendRight | SendOnceRight, id: int, data: bytes = b"", *, reply: Part | None = None,
    rights: Sequence[Part] = (), timeout_us: int = FOREVER,
) -> None:  # fmt: skip
    """Send a message, with at most three rights. Raises as ``SendRight.send`` says, and then nothing has moved."""
    parts = [*([reply] if reply else []), *rights]
    message = Outgoing(id, data, [part.disposition for part in parts], reply is not None)
    places = [part.right for part in parts] + [right] * 3
    await right.send(message, timeout_us, *places[: max(3, len(parts))])
    for part in parts:
        if part.disposition in _MOVES:
            await _forget(part.right)
    if isinstance(right, SendOnceRight):
        await _forget(right)


async def receive(task: Task, right: Any, *, max_bytes: int = MAX_INLINE, timeout_us: int = FOREVER) -> Mail:
    """The next message of a receive right or a port set. Raises as ``ReceiveRight.receive`` says."""
    found = await right.receive(max_bytes, timeout_us)
    reply = await take(task, found.reply) if found.reply else None
    rights = [await take(task, info) for info in found.rights]
    return Mail(found.id, found.data, found.subject, found.local, found.sequence, reply, rights)


async def take(task: Task, info: RightInfo) -> Any:
    """A cap to a right that the task has by name; a dead name is given up, and None is returned."""
    match info.kind:
        case Kind.SEND:
            return await task.send_right(info.name)
        case Kind.SEND_ONCE:
            return await task.send_once_right(info.name)
        case Kind.RECEIVE:
            return await task.receive_right(info.name)
        case _:
            await task.deallocate(info.name)
            return None


async def rpc(
    task: Task, right: SendRight, id: int, data: bytes = b"", *, rights: Sequence[Part] = (),
    timeout_us: int = FOREVER, max_bytes: int = MAX_INLINE,
) -> Mail:  # fmt: skip
    """Send a request and wait for its answer, on a port of its own: a late answer finds nobody.

    Raises ServerDied if the server, or whoever it gave the right to, gave it up without an answer; otherwise as
    ``send`` and ``receive``.
    """
    port = await task.allocate(DEFAULT_LIMIT)
    try:
        await send(right, id, data, reply=make_send_once(port), rights=rights, timeout_us=timeout_us)
        mail = await receive(task, port, max_bytes=max_bytes, timeout_us=timeout_us)
    except Failure:
        await release(port)
        raise
    await release(port)
    if mail.id == SEND_ONCE:
        raise ServerDied("the right for the answer was given up")
    return mail


async def answer(mail: Mail, id: int, data: bytes = b"", *, rights: Sequence[Part] = ()) -> None:
    """Answer a request; who does not live any more, or did not ask for an answer, gets none."""
    if mail.reply is not None:
        with suppress(DeadName, Gone):
            await send(mail.reply, id, data, rights=rights)


async def serve_one(
    task: Task, port: Any, handle: Callable[[Mail], Awaitable[bytes]], *, max_bytes: int = MAX_INLINE,
    timeout_us: int = FOREVER,
) -> Mail:  # fmt: skip
    """Receive one request, let it be handled, and answer with the same ``id``; with -1 and the reason if it is refused.

    Rights that came along belong to the handler, who moves on or keeps some by taking them out of ``mail.rights``; what
    is left is given up here, whether it was refused or not.
    """
    mail = await receive(task, port, max_bytes=max_bytes, timeout_us=timeout_us)
    try:
        data = await handle(mail)
        await answer(mail, mail.id, data)
    except Failure as failure:
        await answer(mail, -1, str(failure).encode()[:MAX_INLINE])
    await mail.release()
    return mail


async def adopt(task: Task, port: ReceiveRight, right: Any) -> Any:
    """A send right of this task's own, like another task's to which it was given a cap.

    ``port`` is an empty port of this task, through which the right comes. What is said through another's cap must fit
    into a kernel message and ends with that task; neither is so of one's own. Raises DeadName, Gone, QuotaExceeded.
    """
    to_self = await port.make_send_once()
    try:
        await send(to_self, 0, rights=[copy_send(right)])
    except Failure:
        await release(to_self)
        await receive(task, port)
        raise
    (own,) = (await receive(task, port)).rights
    if own is None:
        raise DeadName("the port is dead")
    return own


async def release(right: Any) -> None:
    """Give up a right, if it has not been given up or sent away; doing so twice does nothing."""
    if isinstance(right, Stub):
        with suppress(Gone):
            await right.drop()
        await right.forget()


async def _forget(right: Any) -> None:
    if isinstance(right, Stub):
        await right.forget()
