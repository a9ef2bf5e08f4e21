"""Whoever a program asks: somebody in a domain of its own, behind a cap; or a part of the same domain (``linked``).

A program asks for its neighbours here, so that a description alone decides where they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from attrs import field, frozen

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD

I = TypeVar("I", bound=Interface)  # noqa: E741
T = TypeVar("T")


class Role(Enum):
    """What somebody is to a program that signals it, or is signalled by it, without being asked."""

    SUPERVISOR = "supervisor"
    """Who wants signs of life."""
    UPDATE = "supervisor for updates"
    METRONOME = "metronome"
    WARD = "ward"
    """Who is watched over by a guardian, and says to it that he lives."""
    ANY = "anybody"
    """Not declared here, or known only as it runs."""


@frozen
class Asks:
    """What a program asks through a cap: an interface, and whether it wants to change what it finds, or only reads.

    If it asks only when the description gives it a variable, ``given`` is that variable's name; ``optional`` says that
    it also works where the cap leads nowhere.
    """

    interface: Callable[..., Interface]
    to_change: bool = False
    given: str = ""
    optional: bool = False


@frozen
class Serves:
    """What a program gives a client at first: an interface, and whether he may only read."""

    interface: Callable[..., Interface]
    read_only: bool = False


@frozen
class ByTable(Generic[T]):
    """That a table of a program, at the address in a variable, says it, by channel or by the address of a cap.

    ``usual`` is what it is without that table; None if there has to be one.
    """

    variable: str
    read: Callable[[str], Mapping[int, T]]
    """Raises ValueError."""
    usual: Mapping[int, T] | None = None

    def known(self, tables: Mapping[str, str], variables: frozenset[str]) -> Mapping[int, T] | None:
        """What it is, with these tables and variables; None if that is not known."""
        if self.variable not in variables:
            return self.usual
        try:
            return self.read(tables[self.variable])
        except (KeyError, ValueError):
            return None


@frozen
class Uses:
    """What a program does with its channels and variables, declared for those who connect it with others.

    ``asks`` is by the addresses of caps, ``serves`` by clients' channels. ``interrupts`` are channels of devices,
    ``signals`` those by which it is told something, or tells it, without being asked, and by whom; ``plays`` is what it
    is itself to those at the other ends. ``required`` are channels without which it does not work.

    ``needs`` are variables that have to be set; ``shares`` those that have to be, for memory that it shares with whom
    it asks, if it has a domain of its own. ``holds`` are slots of endpoints and of lifecycles that it has to have then.
    """

    asks: Mapping[int, Asks] | ByTable[Asks] = field(factory=dict)
    serves: Mapping[int, Serves] | ByTable[Serves] = field(factory=dict)
    interrupts: frozenset[int] = frozenset()
    signals: Mapping[int, Role] = field(factory=dict)
    plays: Mapping[int, Role] | ByTable[Role] = field(factory=dict)
    required: frozenset[int] = frozenset()
    needs: frozenset[str] = frozenset()
    shares: frozenset[str] = frozenset()
    holds: frozenset[int] = frozenset()


def with_readers(interface: Callable[..., Interface], clients: Iterable[int], first_reader: int) -> dict[int, Serves]:
    """What a server of one kind of thing serves, if clients from a channel on may only read."""
    return {channel: Serves(interface, read_only=channel >= first_reader) for channel in clients}


class LinkedPD(PD, ABC):
    """What a program is given in place of a domain of its own."""

    @abstractmethod
    def in_place(self, interface: type[Interface], cap: int) -> Any:
        """What takes the place of a stub that speaks an interface through the cap at an address."""


class InPlaceOfStub(ABC):
    """What every object is that takes a stub's place, besides its interface."""

    @abstractmethod
    async def forget(self) -> None:
        """Give it up."""


async def forget(what: Interface) -> None:
    """Give up what was given along with a request, without a word to who serves it; of one's own there is nothing to
    give up.
    """
    if isinstance(what, Stub | InPlaceOfStub):
        await what.forget()


def neighbour(interface: Callable[..., I], pd: PD, connection: Connection, cap: int) -> I:
    """An object that asks whoever is behind a cap; in a domain with others, one that calls the servant itself."""
    if isinstance(pd, LinkedPD):
        return cast(I, pd.in_place(cast("type[Interface]", interface), cap))
    return connect(interface, connection, cap)
