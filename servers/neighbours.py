"""Whoever a program asks: somebody in a domain of its own, behind a cap; or a part of the same domain (``linked``).

A program asks for its neighbours here, so that a description alone decides where they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, cast

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD

I = TypeVar("I", bound=Interface)  # noqa: E741


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
