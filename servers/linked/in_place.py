"""What takes a stub's place in a linked domain: an object with the same methods that calls the servant itself.

Arguments and results are handed over as they are; nothing is copied, and nothing goes through the kernel. As caps do,
objects that were opened through another are below it: who revokes one closes them, and a servant to which nothing leads
any more is told so.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from typing import Any, cast

from capkernel.protocols.failures import Gone, Malformed
from capkernel.protocols.interface import Interface, Operation, Parameter, interface_of, operations_of
from capkernel.protocols.wire import bind
from capkernel.user.syscalls import Message
from servers.linked.part import Part
from servers.neighbours import InPlaceOfStub

Turn = Callable[[Part], Awaitable[None]]


class Server:
    """A part that is asked, with how many objects lead to each of its servants.

    After each request ``turn`` is awaited with the part that asked.
    """

    def __init__(self, part: Part, turn: Turn) -> None:
        self.part = part
        self.turn = turn
        self.leading: Counter[Interface] = Counter()

    async def ask(self, caller: Part, work: Callable[[], Awaitable[Any]]) -> Any:
        """Have something done, and wait until it is."""
        result = await self.part.serve(caller, work)
        await self.turn(caller)
        return result

    async def take(self, signal: int, caller: Part) -> int:
        """A cap of the caller's by which something of it can be signalled: the slot in which it is with this part.

        Raises Malformed if it is none, or this part takes no caps.
        """
        inbox = getattr(self.part.program, "inbox", None)
        if inbox is None or signal not in caller.sys.signals:
            raise Malformed("this is no cap by which something can be signalled, or nobody wants it here")
        self.part.sys.signals[inbox.landing] = caller.sys.signals[signal]
        arrived = Message()
        arrived.unwrapped = (None,)
        return cast(int, await inbox.take(arrived))


class InPlace(InPlaceOfStub):
    """An object that leads to a ``servant`` of a server, for another part, the ``caller``.

    A channel's own object has none at first: it finds it when it is asked (``find``), and again after it was dropped.
    """

    def __init__(
        self, server: Server, caller: Part, servant: Interface | None = None, parent: "InPlace | None" = None,
        find: Callable[[], Interface | None] = lambda: None,
    ) -> None:  # fmt: skip
        self.server = server
        self.caller = caller
        self.parent = parent
        self.below: dict[InPlace, None] = {}
        self.find = find
        self.servant: Interface | None = None
        if parent is not None:
            parent.below[self] = None
        self._lead_to(servant)

    def _lead_to(self, servant: Interface | None) -> None:
        self.servant = servant
        if servant is not None:
            self.server.leading[servant] += 1

    def found(self) -> Interface:
        """The servant. Raises Gone."""
        if self.servant is None:
            self._lead_to(self.find())
        if self.servant is None:
            raise Gone("what this cap led to was closed")
        return self.servant

    def opened(self, servant: Interface, caller: Part, interface: type[Interface]) -> "InPlace":
        """An object below this one."""
        return in_place_class(interface)(self.server, caller, servant, self)

    # What every object can be asked

    async def drop(self) -> None:
        """Give it up. What was opened through it is then below what this one came from; below nothing, it is closed."""
        await self.server.ask(self.caller, self._drop)

    async def derive(self) -> Any:
        """Another one that leads to the same servant."""
        return await self.server.ask(self.caller, self._derive)

    async def revoke(self) -> None:
        """Close what was opened through it."""
        await self.server.ask(self.caller, self._revoke)

    async def _drop(self) -> None:
        self.found()
        below, self.below = self.below, {}
        if self.parent is None:
            await _close([*_all(below), self])
            return
        for each in below:
            each.parent = self.parent
        self.parent.below.update(below)
        self.parent.below.pop(self, None)
        await _close([self])

    async def _derive(self) -> Any:
        return self.opened(self.found(), self.caller, interface_of(cast("type[Interface]", type(self))))

    async def _revoke(self) -> None:
        self.found()
        below, self.below = self.below, {}
        await _close(_all(below))

    async def forget(self) -> None:
        """Give it up; its server learns of it if nothing leads to the servant any more."""
        if self.servant is not None:
            await self.drop()

    # What goes along with a request

    async def handed_over(self, parameter: Parameter, value: Any) -> Any:
        """A cap as the server is to have it. Raises Malformed, TypeError, Gone."""
        if parameter.interface is None:
            return await self.server.take(value, self.caller)
        if not isinstance(value, InPlace):
            raise TypeError(f"{value!r} is nothing that can be handed over: it leads to nobody else")
        if value.server is self.server:
            return value.found()
        return value.opened(value.found(), self.server.part, parameter.interface)

    def received(self, result: Parameter, value: Any) -> Any:
        """A cap that the server answers with, as the caller is to have it: one of the server's own objects, or one of
        somebody else's that it passes on.
        """
        if isinstance(value, InPlace):
            value.caller = self.caller
            return value
        return self.opened(value, self.caller, result.interface) if result.interface is not None else value


def _all(objects: Iterable[InPlace]) -> list[InPlace]:
    """These and all below them, the lowest first."""
    return [found for each in objects for found in (*_all(each.below), each)]


async def _close(objects: list[InPlace]) -> None:
    """These lead nowhere any more; tell servants to which none leads now."""
    ended: dict[Interface, Server] = {}
    for each in objects:
        servant, each.servant = each.servant, None
        if servant is not None:
            leading = each.server.leading
            leading[servant] -= 1
            if not leading[servant]:
                del leading[servant]
                ended[servant] = each.server
    for servant in ended:
        await servant.closed()


@cache
def in_place_class(interface: type[Interface]) -> type[InPlace]:
    """The class of objects in the place of an interface's stubs."""
    methods = {operation.name: _method(operation) for operation in operations_of(interface).values()}
    return type(f"{interface.__name__}InPlace", (InPlace, interface), methods)


def _method(operation: Operation) -> Any:
    result = operation.result if operation.result is not None and operation.result.is_cap else None

    async def ask(self: InPlace, *args: Any, **kwargs: Any) -> Any:
        values = bind(operation, args, kwargs)
        for parameter in operation.caps:
            values[parameter.name] = await self.handed_over(parameter, values[parameter.name])
        answer = await self.server.ask(self.caller, lambda: getattr(self.found(), operation.name)(**values))
        return answer if result is None else self.received(result, answer)

    ask.__name__, ask.__doc__ = operation.name, operation.doc
    return ask
