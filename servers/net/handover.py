"""What the network server leaves to the program after it: the stack, the card's slots, caps, and who waits for what.

An object behind a cap is known by the stack's number of its socket. A request that waits is written down as it came,
with how far it has come; the next program takes it up as if it came again, and begins nothing twice.
"""

from enum import Enum
from typing import TypeVar

from attrs import evolve, frozen

from capkernel.protocols.cable import Cable
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Interface
from capkernel.protocols.link import SLOT
from capkernel.protocols.service import Service
from servers.net.lwip import stack as lwip
from servers.net.lwip.kept import KeptStack, keep_stack
from servers.net.node import Account, Begun, Node, Watched, checked_address, checked_port
from servers.net.resolver import StackResolver
from servers.net.sockets import (
    LeavingConnection,
    Listening,
    StackDatagrams,
    StackDialer,
    StackListener,
    StackNetwork,
    StackPinger,
    StackStream,
)
from servers.system.lasting_slots import LastingSlots
from servers.system.waiting import KeptRequest

S = TypeVar("S", bound=lwip.Socket)


class Gives(Enum):
    """What an object is."""

    STREAM = 1
    LISTENER = 2
    DATAGRAMS = 3
    DIALER = 4
    PINGER = 5
    RESOLVER = 6
    NETWORK = 7


@frozen
class KeptObject:
    """An object: whose account it is on, its socket, whom it signals (the slot of the cap, 0 for nobody).

    ``first`` and ``second`` are numbers of its kind: of a stream, its room when it was empty and whether it was shut
    down; of a pinger, its number and how often it has pinged.
    """

    gives: Gives
    account: int
    socket: int = 0
    address: str = ""
    port: int = 0
    first: int = 0
    second: int = 0
    watcher: int = 0


@frozen
class KeptRoot:
    """What a session's own cap leads to."""

    session: int
    place: int


@frozen
class KeptLeaving:
    """A connection to which no cap leads any more, and which still has something to send."""

    socket: int
    account: int
    unsent: int


@frozen
class KeptWaiting:
    """A request that waits, and how far it has come."""

    request: KeptRequest
    deadline: int
    socket: int
    number: int
    step: int

    @classmethod
    def of(cls, request: KeptRequest, begun: Begun) -> "KeptWaiting":
        """Write it down."""
        return cls(request, begun.deadline or 0, begun.socket, begun.number, begun.step)

    @property
    def begun(self) -> Begun:
        """How far it has come."""
        return Begun(self.deadline, self.socket, self.number, self.step)


@frozen
class KeptCable:
    """Whose the slots of the packet memory are, and frames that are to be sent."""

    mac: bytes
    free: list[int]
    to_provide: list[int]
    receiving: list[int]
    sending: list[int]
    outgoing: list[bytes]


@frozen
class KeptNetwork:
    """All of it."""

    stack: KeptStack
    cable: KeptCable
    objects: list[KeptObject]
    caps: list[GivenCap]
    roots: list[KeptRoot]
    leaving: list[KeptLeaving]
    withdrawn: list[int]
    waiting: list[KeptWaiting]


# The card


def keep_cable(cable: Cable) -> KeptCable:
    """The card's slots."""
    receiving = [slot for slot, receives in cable.with_card.items() if receives]
    sending = [slot for slot, receives in cable.with_card.items() if not receives]
    return KeptCable(cable.mac, cable.free, cable.to_provide, receiving, sending, list(cable.outgoing))


def take_up_cable(kept: KeptCable, cable: Cable) -> None:
    """Go on with them. Raises ValueError if they cannot be."""
    slots = [*kept.free, *kept.to_provide, *kept.receiving, *kept.sending]
    if len(set(slots)) < len(slots) or not set(slots) <= set(range(cable.slots)) or len(kept.mac) != len(cable.mac):
        raise ValueError("a slot of the packet memory is had twice, or is none")
    if any(not 0 < len(frame) <= SLOT for frame in kept.outgoing):
        raise ValueError("a frame that is to be sent does not fit into a slot")
    cable.mac, cable.free, cable.to_provide = kept.mac, kept.free, kept.to_provide
    cable.with_card = dict.fromkeys(kept.receiving, True) | dict.fromkeys(kept.sending, False)
    cable.outgoing.extend(kept.outgoing)


# Objects


class Objects:
    """The server's objects: written down, and made again. ``slots`` are those of the caps to whom they signal."""

    def __init__(
        self, node: Node, accounts: dict[int, Account], listening: Listening, service: Service, slots: LastingSlots
    ) -> None:
        self.node = node
        self.accounts = accounts
        self.listening = listening
        self.service = service
        self.slots = slots
        self.roots: dict[int, Interface] = {}

    def keep(self, cable: Cable, waiting: list[KeptWaiting]) -> KeptNetwork:
        """Everything."""
        servants, caps = given_caps(self.service)
        places = {id(servant): place for place, servant in enumerate(servants)}
        own = {entry.session: entry.servant for entry in self.service.entries() if not entry.number}
        for servant in (self.roots | own).values():
            if id(servant) not in places:
                places[id(servant)] = len(servants)
                servants.append(servant)
        roots = [KeptRoot(session, places[id(servant)]) for session, servant in (self.roots | own).items()]
        leaving = [
            KeptLeaving(each.connection.number, channel, each.unsent)
            for channel, account in self.accounts.items() for each in account.leaving
            if isinstance(each, LeavingConnection) and not each.connection.closed
        ]  # fmt: skip
        objects = [self._keep_object(servant) for servant in servants]
        return KeptNetwork(
            keep_stack(self.node.stack), keep_cable(cable), objects, caps, roots, leaving,
            sorted(self.listening.withdrawn), waiting,
        )  # fmt: skip

    def _keep_object(self, servant: Interface) -> KeptObject:
        kept = self._kind_of(servant)
        account = next(channel for channel, each in self.accounts.items() if each is getattr(servant, "account", None))
        watcher = servant.watcher if isinstance(servant, Watched) else None
        slot = None if watcher is None else self.slots.slot_of(watcher)
        return evolve(kept, account=account, watcher=slot or 0)

    def _kind_of(self, servant: Interface) -> KeptObject:
        match servant:
            case StackStream():
                numbers = servant.full, int(servant.is_shut)
                return KeptObject(Gives.STREAM, 0, servant.connection.number, "", 0, *numbers)
            case StackListener():
                return KeptObject(Gives.LISTENER, 0, servant.socket.number)
            case StackDatagrams():
                remote = servant.remote
                return KeptObject(Gives.DATAGRAMS, 0, servant.socket.number, str(remote.address), remote.port)
            case StackDialer():
                return KeptObject(Gives.DIALER, 0, 0, str(servant.address), servant.to_port)
            case StackPinger():
                numbers = servant.identifier, servant.sequence
                return KeptObject(Gives.PINGER, 0, 0, str(servant.address), 0, *numbers)
            case StackResolver():
                return KeptObject(Gives.RESOLVER, 0)
            case StackNetwork():
                return KeptObject(Gives.NETWORK, 0)
            case _:
                raise TypeError(f"a network server gives out no {type(servant).__name__}")

    def take_up(self, kept: KeptNetwork) -> None:
        """Make them again, on a stack that was taken up. Raises ValueError or a failure for what cannot be."""
        self.slots.taken = set()
        self.listening.withdrawn = {checked_port(port) for port in kept.withdrawn}
        for each in kept.leaving:
            connection = self._socket(each.socket, lwip.Connection)
            LeavingConnection(self.node, self._account(each.account), connection, each.unsent)
        servants = [self._object(each) for each in kept.objects]
        for root in kept.roots:
            if root.session not in self.accounts or not 0 <= root.place < len(servants) or root.session in self.roots:
                raise ValueError("a session's own cap leads nowhere")
            self.roots[root.session] = servants[root.place]
        restore_given(self.service, servants, kept.caps)
        self._check_owners(kept)

    def _account(self, channel: int) -> Account:
        if channel not in self.accounts:
            raise ValueError(f"channel {channel} is no client's")
        return self.accounts[channel]

    def _socket(self, number: int, kind: type[S]) -> S:
        found = self.node.stack.sockets().get(number)
        if not isinstance(found, kind) or found in self.node.sockets:
            raise ValueError(f"socket {number} is no {kind.__name__}, or is had twice")
        return found

    def _object(self, kept: KeptObject) -> Interface:
        node, account = self.node, self._account(kept.account)
        servant: Interface
        match kept.gives:
            case Gives.STREAM:
                connection = self._socket(kept.socket, lwip.Connection)
                servant = StackStream(node, account, connection, full=kept.first, is_shut=bool(kept.second))
            case Gives.LISTENER:
                servant = StackListener(node, account, self._socket(kept.socket, lwip.Listener))
                self.listening.add(servant)
            case Gives.DATAGRAMS:
                remote = lwip.Endpoint(checked_address(kept.address), checked_port(kept.port))
                servant = StackDatagrams(node, account, self._socket(kept.socket, lwip.UdpSocket), remote)
            case Gives.DIALER:
                servant = StackDialer(node, account, checked_address(kept.address), checked_port(kept.port))
            case Gives.PINGER:
                numbers = kept.first & 0xFFFF, kept.second & 0xFFFF
                servant = StackPinger(node, account, checked_address(kept.address), *numbers)
            case Gives.RESOLVER:
                servant = StackResolver(node, account)
            case Gives.NETWORK:
                servant = StackNetwork(node, account, self.listening)
        if isinstance(servant, Watched) and kept.watcher:
            self.slots.claim(kept.watcher)
            servant.still_watched(self.slots.address(kept.watcher))
        return servant

    def _check_owners(self, kept: KeptNetwork) -> None:
        """Each socket is somebody's: an object's, a listener's who has not accepted it, or a request's that waits."""
        sockets = self.node.stack.sockets()
        awaited = [each.socket for each in kept.waiting if each.socket]
        if len(set(awaited)) < len(awaited) or any(each.step < 0 for each in kept.waiting):
            raise ValueError("two requests wait for the same")
        owned = {socket.number for socket in self.node.sockets} | set(awaited)
        for listener in sockets.values():
            if isinstance(listener, lwip.Listener):
                owned |= {connection.number for connection in listener.waiting}
        if owned != set(sockets) or set(awaited) & {socket.number for socket in self.node.sockets}:
            raise ValueError("a socket is nobody's, or is had twice")
