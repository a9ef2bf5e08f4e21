"""Membranes: whatever passes is wrapped in its turn, so that all of it ends at once (Redell 1974; Miller 2006, ch. 9).

A forwarder in front of one object alone (a caretaker) can be revoked, but what was obtained through it cannot. A
membrane lies between two *sides*. What an object of one side is for the other is a *proxy*, an object of the same
interface that forwards. An object that is handed across becomes a proxy there; a proxy that is handed back becomes the
object that it stands for. So nobody on one side ever holds an object of the other.

Here is no kernel and no message: objects are anything that has the methods of its interface, and ``reach`` asks them.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, cast

from capkernel.protocols.failures import Failure, Gone, NotPermitted
from capkernel.protocols.files import Directory, File
from capkernel.protocols.interface import Interface, Operation, operations_of
from capkernel.protocols.wire import bind

LOOKING: Final[Mapping[type[Interface], frozenset[str]]] = {
    Directory: frozenset({"open", "directory", "list", "info", "space", "restrict"}),
    File: frozenset({"info", "read", "restrict"}),
}
"""The operations that change nothing, by interface: what may be asked through a membrane that is read-only."""


class Side(Enum):
    """Who is on which side of a membrane."""

    OUTSIDE = "outside"
    INSIDE = "inside"

    @property
    def other(self) -> "Side":
        """The other one."""
        return Side.INSIDE if self is Side.OUTSIDE else Side.OUTSIDE


class Mode(Enum):
    """What a membrane lets pass. A caretaker wraps nothing: it is there to be compared with."""

    FULL = "full"
    READ_ONLY = "read-only"
    CARETAKER = "caretaker"


class Reach:
    """How objects are reached: here, by calling them."""

    async def ask(self, target: Any, operation: Operation, values: Mapping[str, Any]) -> Any:
        """Ask an object. Raises what it raises."""
        return await getattr(target, operation.name)(**values)

    def keep(self, found: Any) -> None:
        """An object came from somewhere, and is kept from now on."""

    async def release(self, target: Any) -> None:
        """An object that was kept is of no use any more."""


class Proxy:
    """What an object of one side is for the other, which it ``faces``."""

    def __init__(self, membrane: "Membrane", target: Any, faces: Side) -> None:
        self.membrane = membrane
        self.target = target
        self.faces = faces
        self.calls = 0
        """How many calls underway hand it over."""
        self.is_settled = False
        """Whether it came across to stay, and not only with calls that may yet fail."""

    async def closed(self) -> None:
        """Nobody has a cap to it."""
        await self.membrane.forget(self)

    @property
    @abstractmethod
    def interface(self) -> type[Interface]:
        """What it speaks."""


class Membrane:
    """A membrane. ``root`` is the object inside with which it begins; ``ended`` is told of each proxy that ends."""

    def __init__(
        self,
        root: Any,
        interface: type[Interface],
        mode: Mode,
        reach: Reach,
        ended: Callable[[Any], None] | None = None,
    ) -> None:
        self.mode = mode
        self.reach = reach
        self.ended = ended or (lambda proxy: None)
        self.is_cut = False
        self.proxies: dict[int, Any] = {}
        """By the identity of what they stand for."""
        self.root = self._proxy(root, interface, Side.OUTSIDE)

    async def forward(self, proxy: Proxy, operation: Operation, values: Mapping[str, Any]) -> Any:
        """Ask what a proxy stands for, and let arguments and answer pass. Raises what it raises, Gone, NotPermitted."""
        self._check(proxy)
        self._permit(proxy, operation)
        passed = dict(values)
        handed: list[Proxy] = []
        try:
            for parameter in operation.caps:
                found = self._across(values[parameter.name], parameter.interface, proxy.faces)
                passed[parameter.name] = found
                if self._is_own(found):
                    found.calls += 1
                    handed.append(found)
            result = await self.reach.ask(proxy.target, operation, passed)
        except Failure:
            await self._take_back(handed)
            self._check(proxy)
            raise
        for each in handed:
            each.calls -= 1
            each.is_settled = True
        returned = operation.result
        if returned is None or not returned.is_cap:
            self._check(proxy)
            return result
        self.reach.keep(result)
        if self.is_cut:
            # It was asked before the membrane was cut, and is answered too late.
            await self.reach.release(result)
        self._check(proxy)
        return self.passed(result, returned.interface, proxy.faces.other)

    async def cut(self) -> int:
        """End it, for ever; returns how many objects were reached through it."""
        self.is_cut = True
        proxies = list(self.proxies.values())
        for proxy in proxies:
            await self.forget(proxy)
        return len(proxies)

    async def forget(self, proxy: Proxy) -> None:
        """A proxy is of no use any more. The one with which the membrane begins is found again until that is cut."""
        if proxy is self.root and not self.is_cut:
            return
        if self.proxies.get(id(proxy.target)) is proxy:
            del self.proxies[id(proxy.target)]
            self.ended(proxy)
            await self.reach.release(proxy.target)

    async def _take_back(self, handed: list[Proxy]) -> None:
        """A call failed: what it handed over is forgotten, unless others had it across before or handed it over, too.

        Calls of others may have gone on meanwhile. What came across with those is theirs.
        """
        for each in handed:
            each.calls -= 1
        for each in handed:
            if not each.calls and not each.is_settled:
                await self.forget(each)

    def _is_own(self, found: Any) -> bool:
        return isinstance(found, Proxy) and found.membrane is self

    def _check(self, proxy: Proxy) -> None:
        if self.is_cut or self.proxies.get(id(proxy.target)) is not proxy:
            raise Gone("the way here was cut")

    def _permit(self, proxy: Proxy, operation: Operation) -> None:
        if self.mode is not Mode.READ_ONLY or proxy.faces is Side.INSIDE:
            return
        if operation.name not in LOOKING.get(proxy.interface, ()):
            raise NotPermitted(f"{operation.name} may change something, and this is only to be looked at")

    def passed(self, found: Any, interface: type[Interface] | None, comes_from: Side) -> Any:
        """What an object that comes from one side is for the other, from now on. Raises NotPermitted."""
        across = self._across(found, interface, comes_from)
        if self._is_own(across):
            across.is_settled = True
        return across

    def _across(self, found: Any, interface: type[Interface] | None, comes_from: Side) -> Any:
        if self.mode is Mode.CARETAKER:
            return found
        if interface is None:
            raise NotPermitted("what has no interface cannot be wrapped, and does not pass")
        if self._is_own(found):
            if found.faces is not comes_from:
                raise NotPermitted("this is not that side's to hand over")
            self._check(found)
            return found.target
        known = self.proxies.get(id(found))
        if known is not None:
            if known.faces is comes_from:
                raise NotPermitted("this is not that side's to hand over")
            return known
        self.reach.keep(found)
        return self._proxy(found, interface, comes_from.other)

    def _proxy(self, target: Any, interface: type[Interface], faces: Side) -> Any:
        proxy = self.proxies[id(target)] = _proxy_class(interface)(self, target, faces)
        return proxy


@cache
def _proxy_class(interface: type[Interface]) -> type[Proxy]:
    methods: dict[str, Any] = {operation.name: _method(operation) for operation in operations_of(interface).values()}
    methods["interface"] = property(lambda self: interface)
    return cast("type[Proxy]", type(f"{interface.__name__}Proxy", (Proxy, interface), methods))


def _method(operation: Operation) -> Any:
    async def forward(self: Proxy, *args: Any, **kwargs: Any) -> Any:
        return await self.membrane.forward(self, operation, bind(operation, args, kwargs))

    forward.__name__, forward.__doc__ = operation.name, operation.doc
    return forward
