"""Whoever a program asks: somebody in a domain of its own, behind a cap; or a part of the same domain (``linked``).

A program asks for its neighbours here, so that a description alone decides where they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, cast

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD

I = TypeVar("I", bound=Interface)  # noqa: E741


class LinkedPD(PD, ABC):
    """What a program is given in place of a domain of its own."""

    @abstractmethod
    def in_place(self, interface: type[Interface], cap: int) -> Any:
        """What takes the place of a stub that speaks an interface through the cap at an address."""


def neighbour(interface: Callable[..., I], pd: PD, connection: Connection, cap: int) -> I:
    """An object that asks whoever is behind a cap; in a domain with others, one that calls the servant itself."""
    if isinstance(pd, LinkedPD):
        return cast(I, pd.in_place(cast("type[Interface]", interface), cap))
    return connect(interface, connection, cap)
