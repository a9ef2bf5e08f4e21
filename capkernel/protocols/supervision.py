"""Watching over services: what became of them, and what is to become of them."""

from abc import abstractmethod
from enum import Enum

from attrs import frozen

from capkernel.protocols.interface import Interface, operation


class State(Enum):
    """What a service is doing."""

    RUNNING = "running"
    WAITING = "waiting to be started"
    ASKING = "waiting for an order"
    UPDATING = "being replaced"
    STOPPED = "stopped"


class Order(Enum):
    """What is to be done with a service that stopped."""

    RESTART = "restart"
    STOP = "stop"


@frozen
class ServiceInfo:
    """A service: which incarnation it is in, how often it crashed since it last ran for long, which program it runs."""

    label: str
    state: State
    incarnation: int
    crashes: int
    alternative: int


@frozen
class Event:
    """Something that happened to a service. Events are numbered from 1."""

    number: int
    label: str
    reason: str
    incarnation: int


class Supervision(Interface, number=4):
    """A supervisor, as others see it. What a client may ask depends on its channel, else NotPermitted."""

    @operation(1)
    @abstractmethod
    async def services(self) -> list[ServiceInfo]:
        """All services."""

    @operation(2)
    @abstractmethod
    async def next_event(self, after: int) -> Event:
        """The first event with a number above ``after`` that is still remembered; waits for it."""

    @operation(3)
    @abstractmethod
    async def order(self, label: str, order: Order, alternative: int) -> None:
        """Say what is to be done with a service that waits for an order; 0 is its ordinary program.

        NotFound if there is no such service, Refused if it waits for no order, Malformed if it has no such program.
        """

    @operation(4)
    @abstractmethod
    async def restart(self, label: str) -> None:
        """Stop a service and start it anew at once. NotFound."""

    @operation(5)
    @abstractmethod
    async def update(self, label: str, alternative: int) -> None:
        """Replace a service's program while its clients wait; answered when the new one works.

        Refused if the new one came to grief: then the old one goes on as before. NotFound, Malformed.
        """

    @operation(6)
    @abstractmethod
    async def complain(self, provider: int) -> None:
        """One on which this service relies lives and fails every request: have it started anew. ``provider`` is its
        place in the list ``relies_on`` of the manifest, else NotPermitted. Refused if that was done a short while ago.
        """
