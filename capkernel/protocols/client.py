"""The client's side: objects with an interface's methods that send messages.

    counter = connect(Counter, connection, cap)
    await counter.add(3)

A method raises the ``failures.Failure`` with which the server answers, ``MessageError`` if an argument cannot travel
(then nothing was sent), and ``TypeError`` if the arguments are wrong.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar, cast

from attrs import frozen

from capkernel.protocols.failures import Malformed
from capkernel.protocols.interface import (
    DERIVE,
    DROP,
    REVOKE,
    Interface,
    Operation,
    Parameter,
    interface_of,
    operations_of,
)
from capkernel.protocols.wire import bind, pack_request, unpack_result
from capkernel.user.inbox import Inbox
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message, Syscalls

I = TypeVar("I", bound=Interface)  # noqa: E741


@frozen
class Connection:
    """How a program calls servers: its system calls, a place for caps that come, memory shared with the server.

    Without an ``inbox`` no operation can be asked for that returns a cap; without a ``region`` what is said must fit
    into a message.
    """

    sys: Syscalls
    inbox: Inbox | None = None
    region: SharedRegion | None = None


class Stub:
    """What every stub is, besides its interface: a cap and how to call it."""

    def __init__(self, connection: Connection, cap: int, is_owned: bool) -> None:
        self.connection = connection
        self.cap = cap
        self.is_owned = is_owned

    async def drop(self) -> None:
        """Ask the server to close, and give up the cap if it came by message."""
        await _ask(self, _own_operation(self.interface, DROP, None), {})
        await self.forget()

    async def forget(self) -> None:
        """Give up the cap without a word to the server."""
        if self.is_owned and self.connection.inbox is not None:
            self.is_owned = False
            await self.connection.inbox.discard(self.cap)

    async def derive(self) -> Any:
        """Another cap to the same object."""
        return await _ask_for_cap(self, _own_operation(self.interface, DERIVE, self.interface), {})

    async def revoke(self) -> None:
        """Close what was derived from this cap or opened through it."""
        await _ask(self, _own_operation(self.interface, REVOKE, None), {})

    @property
    def interface(self) -> type[Interface]:
        """The interface that this stub speaks."""
        return interface_of(cast("type[Interface]", type(self)))


def connect(interface: Callable[..., I], connection: Connection, cap: int, *, is_owned: bool = False) -> I:
    """An object that asks the server behind a cap. One that is owned lies in a slot of the connection's inbox."""
    return cast(I, _stub_class(cast("type[Interface]", interface))(connection, cap, is_owned))


@cache
def _stub_class(interface: type[Interface]) -> type[Stub]:
    methods = {operation.name: _method(operation) for operation in operations_of(interface).values()}
    return type(f"{interface.__name__}Stub", (Stub, interface), methods)


def _method(operation: Operation) -> Any:
    wants_cap = operation.result is not None and operation.result.is_cap

    async def ask(self: Stub, *args: Any, **kwargs: Any) -> Any:
        values = bind(operation, args, kwargs)
        return await (_ask_for_cap if wants_cap else _ask)(self, operation, values)

    ask.__name__, ask.__doc__ = operation.name, operation.doc
    return ask


async def _ask(stub: Stub, operation: Operation, values: dict[str, Any]) -> Any:
    reply = await _call(stub, operation, values)
    if stub.connection.inbox is not None:
        await stub.connection.inbox.refuse(reply)
    return await unpack_result(operation, reply, stub.connection.region)


async def _ask_for_cap(stub: Stub, operation: Operation, values: dict[str, Any]) -> Any:
    connection, result = stub.connection, operation.result
    if connection.inbox is None or result is None:
        raise TypeError(f"{operation.name} returns a cap, and this connection has no inbox for it")
    await connection.inbox.open()
    reply = await _call(stub, operation, values)
    if reply.label:
        await connection.inbox.refuse(reply)
        await unpack_result(operation, reply, connection.region)
    cap = await connection.inbox.take(reply)
    if cap is None:
        raise Malformed(f"the reply to {operation.name} brings no cap")
    return cap if result.interface is None else connect(result.interface, connection, cap, is_owned=True)


async def _call(stub: Stub, operation: Operation, values: dict[str, Any]) -> Message:
    message = await pack_request(operation, values, stub.connection.region)
    message.caps = tuple(_cap_address(values[parameter.name]) for parameter in operation.caps)
    return await stub.connection.sys.call(stub.cap, message)


def _cap_address(value: Any) -> int:
    if isinstance(value, Stub):
        return value.cap
    if isinstance(value, int):
        return value
    raise TypeError(f"{value!r} is no cap that can be sent: it lives in this program, not behind an endpoint")


@cache
def _own_operation(interface: type[Interface], number: int, returns: type[Interface] | None) -> Operation:
    """One of the operations that every interface has."""
    name: Final = {DROP: "drop", DERIVE: "derive", REVOKE: "revoke"}[number]
    result = Parameter("value", returns, True, returns) if returns else None
    return Operation(interface, number, name, "", (), _Nothing, None, result)


@frozen
class _Nothing:
    """The data of a request without any."""
