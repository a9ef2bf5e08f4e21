"""Interfaces: what can be asked of an object behind a cap. One definition serves both sides.

    class Counter(Interface, number=200):
        '''A number that counts up.'''

        @operation(1)
        @abstractmethod
        async def add(self, amount: int) -> int:
            '''Add to the number, and say what it is now.'''

A server subclasses it and writes the methods: such an object is a *servant*. A client gets an object with the same
methods that sends messages (``client.connect``). Whoever uses a ``Counter`` cannot tell which of the two it has.

Parameters and results are of the types that ``user.codec`` knows: numbers, text, bytes, enums, lists, attrs classes.
Two kinds more are not data but authority:

| type                      | what travels                                                                     |
|---------------------------|----------------------------------------------------------------------------------|
| an ``Interface``          | a cap to such an object; as a result, the server makes it                        |
| ``Cap``                   | any other cap, by the address of the slot in which it is                         |

A message carries at most three caps, and the kernel hands over at most one that does not lead back to the receiver:
so an operation has at most three such parameters, and no result besides a cap.
"""

import inspect
from abc import ABC
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Final, NewType, TypeVar, get_type_hints

import attrs

from capkernel.abi.message import MSG_MAX_EXTRA_CAPS
from capkernel.user.codec import MessageError, codec_of

Cap = NewType("Cap", int)
"""The address of a cap to whatever it is: a frame, a notification, memory."""

DROP: Final = 0xFF
DERIVE: Final = 0xFE
REVOKE: Final = 0xFD
FIRST_OF_ALL: Final = 0xF0
"""Operations from here on are every interface's own (``Interface``)."""
_OPERATION_BITS: Final = 8
_INTERFACES: "dict[int, type[Interface]]" = {}
Method = TypeVar("Method", bound=Callable[..., Any])


def operation(number: int) -> Callable[[Method], Method]:
    """Mark a method as an operation that can be asked for by message; ``number`` is its place in the interface."""

    def mark(method: Method) -> Method:
        method.__dict__["operation_number"] = number
        return method

    return mark


class Interface(ABC):
    """What every object behind a cap can be asked, and the base of all interfaces.

    ``number`` tells interfaces apart on the wire. The three operations here are answered by the server's frame
    (``service``), not by the servant.
    """

    number: ClassVar[int] = 0

    def __init_subclass__(cls, number: int | None = None) -> None:
        """Enter a new interface (with a number) into the table; a servant (without) implements one."""
        if number is None:
            return
        if not 0 < number < 1 << 16:
            raise TypeError(f"interface {cls.__name__} has number {number}; it must be 1 to 65535")
        other = _INTERFACES.get(number)
        if other is not None and other.__qualname__ != cls.__qualname__:
            raise TypeError(f"interfaces {cls.__name__} and {other.__name__} have the same number {number}")
        cls.number = number
        _INTERFACES[number] = cls

    async def drop(self) -> None:
        """Give this cap up. What was derived from it or opened through it stays, below what this one came from."""
        await self.closed()

    async def derive(self) -> Any:
        """Another cap to the same object, for somebody else; it ends when this one does, or is revoked here.

        Whoever gives a cap away gives a derived one: memory that this client shares with the server stays its own.
        """
        return self

    async def revoke(self) -> None:
        """Close everything that was derived from this cap or opened through it; this cap stays."""

    async def closed(self) -> None:
        """Not an operation: called in the server when the last cap to a servant has been closed."""


@attrs.frozen
class Parameter:
    """A parameter of an operation. ``interface`` is that of a cap, or None for ``Cap`` and for data."""

    name: str
    kind: Any
    is_cap: bool
    interface: type[Interface] | None


@attrs.frozen
class Operation:
    """An operation as both sides need it. ``request`` is the attrs class of its data; so is ``reply``, of ``value``."""

    interface: type[Interface]
    number: int
    name: str
    doc: str
    parameters: tuple[Parameter, ...]
    request: type
    reply: type | None
    result: Parameter | None

    @property
    def label(self) -> int:
        """The label of a message that asks for it."""
        return self.interface.number << _OPERATION_BITS | self.number

    @property
    def data(self) -> tuple[Parameter, ...]:
        """The parameters that are data."""
        return tuple(parameter for parameter in self.parameters if not parameter.is_cap)

    @property
    def caps(self) -> tuple[Parameter, ...]:
        """The parameters that are caps."""
        return tuple(parameter for parameter in self.parameters if parameter.is_cap)


def interface_of(kind: type[Interface]) -> type[Interface]:
    """The interface that a servant's class implements: the nearest base with a number of its own."""
    return next(base for base in kind.__mro__ if base is Interface or "number" in base.__dict__)


def interfaces() -> tuple[type[Interface], ...]:
    """All interfaces that have been imported, by number."""
    return tuple(_INTERFACES[number] for number in sorted(_INTERFACES))


@cache
def operations_of(interface: type[Interface]) -> dict[int, Operation]:
    """The operations of an interface by number, those that it inherits included. Raises TypeError, MessageError."""
    found: dict[int, Operation] = {}
    for name in sorted(dir(interface)):
        method = inspect.getattr_static(interface, name)
        number = getattr(method, "operation_number", None)
        if number is None:
            continue
        if not 0 < number < FIRST_OF_ALL or number in found:
            raise TypeError(f"{interface.__name__}.{name}: operation {number} is taken, or not 1 to {FIRST_OF_ALL - 1}")
        found[number] = _operation(interface, number, name, method)
    return dict(sorted(found.items()))


def operation_of(label: int) -> int:
    """The operation's number in a label."""
    return label & (1 << _OPERATION_BITS) - 1


def interface_number_of(label: int) -> int:
    """The interface's number in a label."""
    return label >> _OPERATION_BITS


def _operation(interface: type[Interface], number: int, name: str, method: Callable[..., Any]) -> Operation:
    where = f"{interface.__name__}.{name}"
    hints = get_type_hints(method)
    if "return" not in hints:
        raise TypeError(f"{where} does not say what it returns")
    result = hints.pop("return")
    names = [each for each in inspect.signature(method).parameters if each != "self"]
    parameters = tuple(_parameter(where, each, hints.get(each)) for each in names)
    caps = sum(parameter.is_cap for parameter in parameters)
    if caps > MSG_MAX_EXTRA_CAPS:
        raise TypeError(f"{where} takes {caps} caps; a message carries {MSG_MAX_EXTRA_CAPS}")
    data = {p.name: attrs.field(type=p.kind) for p in parameters if not p.is_cap}
    returned = None if result is type(None) else _parameter(where, "value", result)
    reply = None
    if returned is not None and not returned.is_cap:
        reply = attrs.make_class(f"{where} reply", {"value": attrs.field(type=result)}, frozen=True)
    return Operation(
        interface, number, name, inspect.getdoc(method) or "", parameters,
        attrs.make_class(where, data, frozen=True), reply, returned,
    )  # fmt: skip


def _parameter(where: str, name: str, kind: Any) -> Parameter:
    if kind is Cap:
        return Parameter(name, kind, True, None)
    if isinstance(kind, type) and issubclass(kind, Interface):
        return Parameter(name, kind, True, kind)
    try:
        codec_of(kind)
    except MessageError as error:
        raise TypeError(f"{where}, {name}: {error}") from None
    return Parameter(name, kind, False, None)
