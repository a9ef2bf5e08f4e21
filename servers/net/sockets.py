"""Caps to the network: streams, listeners, datagrams, pings, over one stack. ``Node`` says who waits and who may."""

from ipaddress import IPv4Address
from typing import Final

from capkernel.protocols.failures import Gone, Malformed, NotFound, TooLarge
from capkernel.protocols.interface import Interface
from capkernel.protocols.network import (
    MAX_DATAGRAM,
    MAX_PAYLOAD,
    Answered,
    Datagrams,
    Dialer,
    Endpoint,
    Listener,
    Network,
    Pinger,
    Resolver,
    Stream,
)
from capkernel.protocols.service import Service
from servers.net.lwip import stack as lwip
from servers.net.lwip.stack import EchoReply
from servers.net.node import (
    TICKS_PER_US,
    Account,
    Node,
    Watched,
    checked_address,
    checked_port,
    failure_of,
    told,
)
from servers.net.policy import Client
from servers.net.resolver import StackResolver

BACKLOG: Final = 32
"""Peers that may wait to be accepted at a listener, those whose connection is half made among them."""


class StackStream(Watched, Stream):
    """A connection of the stack."""

    def __init__(
        self, node: Node, account: Account, connection: lwip.Connection, *, full: int | None = None,
        is_shut: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(node, account)
        self.connection = connection
        self.is_shut = is_shut
        self.full = connection.room if full is None else full
        self.unsent: int | None = 0 if is_shut else None
        """Once this end is shut down: the bytes that waited to be sent then. How many still do nobody can tell."""
        account.streams += 1
        account.holders.append(self)
        node.sockets[connection] = self

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent or read."""
        return 0 if self.connection.closed else self._waiting_to_be_sent() + self.connection.unread

    def _waiting_to_be_sent(self) -> int:
        if self.unsent is None:
            return max(0, self.full - self.connection.room)
        return 0 if self.connection.ended else self.unsent

    async def read(self, limit: int, patience: int) -> bytes:
        """What has arrived."""
        if limit < 1:
            raise Malformed("at least one byte must be wanted")
        return await self.node.until(self.account, lambda: self._received(limit), patience)

    def _received(self, limit: int) -> bytes | None:
        connection = self.connection
        with told():
            data = connection.receive(min(limit, self.account.answer))
        if data:
            # There is more room now for all of the session.
            self.happened_to_others()
            return data
        if connection.error is not None:
            raise failure_of(connection.error)
        return b"" if connection.ended else None

    def happened_to_others(self) -> None:
        """Bytes of this stream wait no longer, so another one may go on that found no room."""
        for holder in self.account.holders:
            if holder is not self and isinstance(holder, StackStream):
                holder.happened()

    async def write(self, data: bytes, patience: int) -> int:
        """Queue the beginning of something."""
        if not data:
            return 0
        return await self.node.until(self.account, lambda: self._sent(data), patience)

    def _sent(self, data: bytes) -> int | None:
        connection = self.connection
        if connection.error is not None:
            raise failure_of(connection.error)
        if self.is_shut:
            raise Gone("this end was shut down")
        with told():
            return connection.send(data[: self.account.allowance(self.buffered)]) or None

    async def shutdown(self) -> None:
        """Send no more."""
        if self.unsent is None:
            self.unsent = self._waiting_to_be_sent()
        self.is_shut = True
        with told():
            self.connection.shutdown()

    async def peer(self) -> Endpoint:
        """The other end."""
        return Endpoint(str(self.connection.peer.address), self.connection.peer.port)

    async def closed(self) -> None:
        """Let go of the connection, once what was written has been sent."""
        self.node.sockets.pop(self.connection, None)
        self.account.streams -= 1
        self.account.holders.remove(self)
        unsent = self._waiting_to_be_sent()
        if unsent and self.connection.error is None and not self.connection.closed:
            LeavingConnection(self.node, self.account, self.connection, unsent).leave()
        else:
            self.connection.close()
        self.happened_to_others()
        await self.end()


class LeavingConnection(Watched):
    """A connection that nobody has a cap to any more, until its peer has ended it, too, who then has all of it.

    ``unsent`` bytes waited to be sent when it began to leave.
    """

    def __init__(self, node: Node, account: Account, connection: lwip.Connection, unsent: int) -> None:
        super().__init__(node, account)
        self.connection = connection
        self.unsent = unsent
        account.leaving.append(self)
        account.holders.append(self)
        node.sockets[connection] = self

    def leave(self) -> None:
        """Nothing more will be written."""
        try:
            self.connection.shutdown()
        except lwip.NetError:
            self.abort()

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent."""
        return 0 if self.connection.closed or self.connection.ended else self.unsent

    def happened(self) -> None:
        """The peer took something, or is gone."""
        if not self.buffered or self.connection.error is not None:
            self._forget()
            self.connection.close()
        self.account.changed.notify()

    def abort(self) -> None:
        """Its place is needed."""
        self._forget()
        self.connection.abort()

    def _forget(self) -> None:
        self.node.sockets.pop(self.connection, None)
        if self in self.account.leaving:
            self.account.leaving.remove(self)
            self.account.holders.remove(self)


class StackDialer(Dialer):
    """The right to connect."""

    def __init__(self, node: Node, account: Account, address: IPv4Address, to_port: int) -> None:
        self.node = node
        self.account = account
        self.address = address
        self.to_port = to_port

    async def connect(self, patience: int) -> Stream:
        """A new connection; one that does not come about is given up."""
        begun = self.node.begun
        connection = self.node.former(begun, lwip.Connection) or self._begin()
        begun.socket = connection.number
        stream = StackStream(self.node, self.account, connection)

        def ready() -> bool | None:
            if connection.error is not None:
                raise failure_of(connection.error)
            return connection.connected or None

        try:
            await self.node.until(self.account, ready, patience, begun)
        except BaseException:
            connection.abort()
            await stream.closed()
            raise
        return stream

    def _begin(self) -> lwip.Connection:
        self.account.need("streams")
        with told():
            return self.node.stack.connect(self.address, self.to_port)

    async def target(self) -> Endpoint:
        """Where it leads to."""
        return Endpoint(str(self.address), self.to_port)


class StackListener(Watched, Listener):
    """The right to listen, in use from the beginning."""

    def __init__(self, node: Node, account: Account, socket: lwip.Listener) -> None:
        super().__init__(node, account)
        self.socket = socket
        self.at_port = socket.local.port
        account.listeners += 1
        node.sockets[self.socket] = self

    async def accept(self, patience: int) -> Stream:
        """The next connection."""
        self.account.need("streams")
        connection = await self.node.until(self.account, self._accepted, patience)
        try:
            self.account.need("streams")
        except BaseException:
            connection.abort()
            raise
        return StackStream(self.node, self.account, connection)

    def _accepted(self) -> lwip.Connection | None:
        if self.socket.closed:
            raise Gone("this port is not listened to any more")
        return self.socket.accept()

    async def port(self) -> int:
        """Which."""
        return self.at_port

    async def closed(self) -> None:
        """Take no more."""
        self.node.sockets.pop(self.socket, None)
        self.socket.close()
        self.account.listeners -= 1
        await self.end()


class StackDatagrams(Watched, Datagrams):
    """A UDP socket of which only one peer is seen."""

    def __init__(self, node: Node, account: Account, socket: lwip.UdpSocket, remote: lwip.Endpoint) -> None:
        super().__init__(node, account)
        self.socket = socket
        self.remote = remote
        account.datagrams += 1
        node.sockets[self.socket] = self

    @classmethod
    def opened(cls, node: Node, account: Account, local_port: int, remote: lwip.Endpoint) -> "StackDatagrams":
        """One with a port of its own. Raises AlreadyExists."""
        with told():
            return cls(node, account, node.stack.udp(local_port), remote)

    async def send(self, data: bytes) -> None:
        """To the peer."""
        if len(data) > MAX_DATAGRAM:
            raise TooLarge(f"a datagram has at most {MAX_DATAGRAM} bytes, not {len(data)}")
        with told():
            self.socket.send(data, self.remote.address, self.remote.port)

    async def receive(self, patience: int) -> bytes:
        """From the peer."""
        return await self.node.until(self.account, self._received, patience)

    def _received(self) -> bytes | None:
        with told():
            if self.socket.closed:
                raise Gone("this port was closed")
            while (found := self.socket.receive()) is not None:
                if found[1] == self.remote and len(found[0]) <= self.account.answer:
                    return found[0]
        return None

    async def closed(self) -> None:
        """Give up the port."""
        self.node.sockets.pop(self.socket, None)
        self.socket.close()
        self.account.datagrams -= 1
        await self.end()


class StackPinger(Pinger):
    """The right to ping. Each has a number of its own, so that answers are not mixed up."""

    def __init__(
        self, node: Node, account: Account, address: IPv4Address, identifier: int | None = None, sequence: int = 0
    ) -> None:
        self.node = node
        self.account = account
        self.address = address
        self.identifier = node.chance.randrange(1 << 16) if identifier is None else identifier
        self.sequence = sequence

    async def ping(self, payload: bytes, patience: int) -> Answered:
        """Once."""
        if len(payload) > MAX_PAYLOAD:
            raise TooLarge(f"a ping carries at most {MAX_PAYLOAD} bytes, not {len(payload)}")
        node, begun = self.node, self.node.begun
        was_sent = bool(begun.step)
        if not was_sent:
            self.sequence = self.sequence + 1 & 0xFFFF
            begun.number, begun.step = self.sequence, max(node.ticks, 1)
        numbers, began = (self.identifier, begun.number), begun.step
        answers: list[Answered] = []

        def answered(reply: EchoReply) -> None:
            if reply.address == self.address:
                after = (node.ticks - began) // TICKS_PER_US
                answers.append(Answered(after, reply.payload == payload))
                self.account.changed.notify()

        node.echoes[numbers] = answered
        try:
            if not was_sent:
                with told():
                    node.stack.ping(self.address, identifier=self.identifier, sequence=self.sequence, payload=payload)
            return await node.until(self.account, lambda: answers[0] if answers else None, patience, begun)
        finally:
            node.echoes.pop(numbers, None)


class StackNetwork(Network):
    """Everything. What is made from it counts for the session of whoever makes it."""

    def __init__(self, node: Node, account: Account, listening: "Listening") -> None:
        self.node = node
        self.account = account
        self.listening = listening

    async def dialer(self, address: str, port: int) -> Dialer:
        """To connect."""
        return StackDialer(self.node, self.account, checked_address(address), checked_port(port))

    async def listener(self, port: int) -> Listener:
        """To listen."""
        return self.listening.open(self.account, checked_port(port))

    async def datagrams(self, local_port: int, address: str, port: int) -> Datagrams:
        """To exchange datagrams."""
        self.account.need("datagrams")
        remote = lwip.Endpoint(checked_address(address), checked_port(port))
        return StackDatagrams.opened(self.node, self.account, checked_port(local_port, 0), remote)

    async def pinger(self, address: str) -> Pinger:
        """To ping."""
        return StackPinger(self.node, self.account, checked_address(address))

    async def resolver(self) -> Resolver:
        """To ask for names."""
        return StackResolver(self.node, self.account)

    async def withdraw(self, port: int) -> None:
        """Take a port away."""
        await self.listening.withdraw(checked_port(port))


class Listening:
    """Who listens at which port, and from whom a port was taken away."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.service: Service | None = None
        self.listeners: list[StackListener] = []
        self.withdrawn: set[int] = set()
        """Ports of clients who were given them by the policy, and may not have them any more."""

    def open(self, account: Account, port: int) -> StackListener:
        """Listen. Raises AlreadyExists, QuotaExceeded."""
        account.need("listeners")
        with told():
            listener = StackListener(self.node, account, self.node.stack.listen(port, BACKLOG))
        self.add(listener)
        return listener

    def add(self, listener: StackListener) -> None:
        """Somebody listens."""
        self.listeners = [*(each for each in self.listeners if not each.socket.closed), listener]

    async def withdraw(self, port: int) -> None:
        """Close a port's listener, wherever caps to it are, and what was accepted through it. Raises NotFound."""
        found = [each for each in self.listeners if each.at_port == port and not each.socket.closed]
        if not found or self.service is None:
            raise NotFound(f"nobody listens at port {port}")
        self.withdrawn.add(port)
        for listener in found:
            told: set[Interface] = set()
            for entry in self.service.revoke(listener):
                if entry.servant not in told:
                    told.add(entry.servant)
                    await entry.servant.closed()


def given(client: Client, node: Node, account: Account, listening: Listening) -> Interface | None:
    """What a client of the policy is given as its session's own cap; None if it was taken away."""
    match client.gives:
        case "network":
            return StackNetwork(node, account, listening)
        case "listener":
            return None if client.port in listening.withdrawn else listening.open(account, checked_port(client.port))
        case "dialer":
            return StackDialer(node, account, checked_address(client.address), checked_port(client.port))
        case "datagrams":
            remote = lwip.Endpoint(checked_address(client.address), checked_port(client.port))
            return StackDatagrams.opened(node, account, checked_port(client.local_port, 0), remote)
        case "pinger":
            return StackPinger(node, account, checked_address(client.address))
        case _:
            return StackResolver(node, account)
