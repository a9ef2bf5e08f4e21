"""The network, as authority: a cap to connect to one address and port, a cap to listen on one port, and so on.

Whoever hands out authority holds a ``Network`` and makes narrow caps from it. What was opened through a cap is below
it: to revoke a ``Listener`` is to close every connection that was accepted through it.

An operation that may have to wait takes a ``patience`` in milliseconds, 0 to ``MAX_PATIENCE``; it raises ``TimedOut``
when that is over. With patience 0 it never waits: so a program that serves several does not wait for one of them. It
gives a notification to ``watch``, which is signalled whenever there may be something new, and then it asks for all that
there is, until ``TimedOut``. (A channel's cap cannot hand over another cap: ``derive`` one that can.)

Ports are 1 to 65535, addresses are IPv4 in dotted form; else Malformed. What a session may use at a time is limited:
QuotaExceeded for streams, listeners and ports; Busy for requests that wait.
"""

from abc import abstractmethod
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Cap, Interface, operation

MAX_PATIENCE: Final = 3_600_000
INLINE: Final = 768
"""Bytes that can be read or written at a time without memory shared with the server."""
MAX_DATAGRAM: Final = 1472
MAX_PAYLOAD: Final = 1000
"""Bytes of a ping."""


@frozen
class Endpoint:
    """An address and a port."""

    address: str
    port: int


@frozen
class Answered:
    """An answer to a ping: after how many microseconds, and whether it contained what was sent."""

    after_us: int
    is_same: bool


class Stream(Interface, number=20):
    """A TCP connection. Refused if the peer does not want it, Gone if the peer reset it or it was closed here."""

    @operation(1)
    @abstractmethod
    async def read(self, limit: int, patience: int) -> bytes:
        """What has arrived, at most ``limit`` bytes (1 or more); no bytes after the peer's last.

        Who shares memory with the server, but uses a cap that was derived, asks for at most ``INLINE`` bytes.
        """

    @operation(2)
    @abstractmethod
    async def write(self, data: bytes, patience: int) -> int:
        """Send the beginning of ``data``: as many bytes as there is room for, and how many that was.

        Waits until there is room for one: the peer has to take what was sent before, and this client to read.
        """

    @operation(3)
    @abstractmethod
    async def shutdown(self) -> None:
        """Send no more; reading goes on. The peer gets all that was written, then the end."""

    @operation(4)
    @abstractmethod
    async def peer(self) -> Endpoint:
        """Who is at the other end."""

    @operation(5)
    @abstractmethod
    async def watch(self, notification: Cap) -> None:
        """Signal this when bytes arrived, when there is room again, when the connection ended; and once now."""


class Dialer(Interface, number=18):
    """The right to connect to one address and port."""

    @operation(1)
    @abstractmethod
    async def connect(self, patience: int) -> Stream:
        """A new connection. Refused, TimedOut, NotFound if there is no way there."""

    @operation(2)
    @abstractmethod
    async def target(self) -> Endpoint:
        """Where it leads to."""


class Listener(Interface, number=19):
    """The right to take connections to one port."""

    @operation(1)
    @abstractmethod
    async def accept(self, patience: int) -> Stream:
        """The connection that has waited longest."""

    @operation(2)
    @abstractmethod
    async def watch(self, notification: Cap) -> None:
        """Signal this when a connection waits; and once now."""

    @operation(3)
    @abstractmethod
    async def port(self) -> int:
        """Which it is."""


class Datagrams(Interface, number=21):
    """UDP between a port here and one address and port there; what comes from elsewhere is not seen."""

    @operation(1)
    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send a datagram of at most ``MAX_DATAGRAM`` bytes; TooLarge beyond."""

    @operation(2)
    @abstractmethod
    async def receive(self, patience: int) -> bytes:
        """The datagram that has waited longest. When too many wait, further ones are lost.

        So is one of more than ``INLINE`` bytes, if no memory is shared with the server.
        """

    @operation(3)
    @abstractmethod
    async def watch(self, notification: Cap) -> None:
        """Signal this when a datagram arrived; and once now."""


class Pinger(Interface, number=22):
    """The right to ping one address."""

    @operation(1)
    @abstractmethod
    async def ping(self, payload: bytes, patience: int) -> Answered:
        """Send an ICMP echo request with at most ``MAX_PAYLOAD`` bytes, and wait for the answer."""


class Resolver(Interface, number=23):
    """The right to ask the name server."""

    @operation(1)
    @abstractmethod
    async def resolve(self, name: str) -> list[str]:
        """The addresses of a name. NotFound if it has none, TimedOut, Corrupt if the answer makes no sense.

        Malformed for what cannot be a name.
        """


class Network(Interface, number=17):
    """All that the machine may do in the network: for whoever hands out authority."""

    @operation(1)
    @abstractmethod
    async def dialer(self, address: str, port: int) -> Dialer:
        """The right to connect there."""

    @operation(2)
    @abstractmethod
    async def listener(self, port: int) -> Listener:
        """The right to listen. AlreadyExists if somebody does on this port."""

    @operation(3)
    @abstractmethod
    async def datagrams(self, local_port: int, address: str, port: int) -> Datagrams:
        """The right to exchange datagrams; ``local_port`` 0 is any. AlreadyExists if the port is taken."""

    @operation(4)
    @abstractmethod
    async def pinger(self, address: str) -> Pinger:
        """The right to ping."""

    @operation(5)
    @abstractmethod
    async def resolver(self) -> Resolver:
        """The right to ask the name server."""

    @operation(6)
    @abstractmethod
    async def withdraw(self, port: int) -> None:
        """Take a port away from whoever listens there, with all connections accepted on it. NotFound if nobody does."""
