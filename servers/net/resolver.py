"""A DNS client (RFC 1035) over the stack's own UDP: dnspython writes questions and reads answers, lwIP carries them.

An answer counts only if it comes from the name server's address and port, to the port from which was asked, with the
number and the question of the request. Ports and numbers follow from the policy's seed.
"""

from collections.abc import Iterator
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.IN.A import A

from capkernel.protocols.failures import Corrupt, Malformed, NotFound, Refused, TimedOut
from capkernel.protocols.network import Resolver
from servers.net.lwip import stack as lwip
from servers.net.lwip.stack import NetError, Reason
from servers.net.node import Account, Begun, Node, Watched, checked_address, told

PORT: Final = 53
PATIENCES: Final = (1000, 2000, 4000)
"""Milliseconds for each attempt."""
MAX_ALIASES: Final = 8
MAX_ADDRESSES: Final = 16
_FIRST_PORT: Final = 49152
_PORT_TRIES: Final = 8


class _Question(Watched):
    """A port of its own for one question; closed afterwards. ``former`` is one that asked in a former life."""

    def __init__(self, node: Node, account: Account, former: lwip.UdpSocket | None) -> None:
        super().__init__(node, account)
        if former is None:
            account.need("datagrams")
        self.socket = former or _any_port(node)
        account.datagrams += 1
        node.sockets[self.socket] = self

    def close(self) -> None:
        """Give the port back."""
        self.node.sockets.pop(self.socket, None)
        self.node.news.pop(self, None)
        self.socket.close()
        self.account.datagrams -= 1


def _any_port(node: Node) -> lwip.UdpSocket:
    """A socket at a port that nobody outside can guess."""
    for _ in range(_PORT_TRIES):
        try:
            return node.stack.udp(node.chance.randrange(_FIRST_PORT, 1 << 16))
        except NetError as error:
            if error.reason is not Reason.AddressInUse:
                break
    with told():
        return node.stack.udp()


class StackResolver(Resolver):
    """The right to ask."""

    def __init__(self, node: Node, account: Account) -> None:
        self.node = node
        self.account = account

    async def resolve(self, name: str) -> list[str]:
        """Ask, a few times."""
        question, begun = checked_name(name), self.node.begun
        while begun.step < len(PATIENCES):
            asking = _Question(self.node, self.account, self.node.former(begun, lwip.UdpSocket))
            try:
                return await self._ask(asking, question, begun)
            except TimedOut:
                begun.step, begun.socket, begun.deadline = begun.step + 1, 0, None
            finally:
                asking.close()
        raise TimedOut(f"the name server does not answer for {name}")

    async def _ask(self, asking: _Question, name: dns.name.Name, begun: Begun) -> list[str]:
        is_asked = bool(begun.socket)
        if not is_asked:
            begun.socket, begun.number = asking.socket.number, self.node.chance.randrange(1 << 16)
        query = dns.message.make_query(name, dns.rdatatype.A, id=begun.number)
        server = lwip.Endpoint(checked_address(self.node.nameserver), PORT)
        if not is_asked:
            with told():
                asking.socket.send(query.to_wire(), server.address, server.port)

        def answer() -> dns.message.Message | None:
            while (found := asking.socket.receive()) is not None:
                if found[1] == server and (message := read_answer(found[0], query)) is not None:
                    return message
            return None

        return addresses_in(await self.node.until(self.account, answer, PATIENCES[begun.step], begun), name)


def checked_name(name: str) -> dns.name.Name:
    """A name that can be asked for. Raises Malformed."""
    try:
        found = dns.name.from_text(name)
    except (dns.exception.DNSException, UnicodeError, ValueError) as error:
        raise Malformed(f"{name!r} is no name: {error}") from None
    if found == dns.name.root:
        raise Malformed("a name has at least one label")
    return found


def read_answer(data: bytes, query: dns.message.QueryMessage) -> dns.message.Message | None:
    """The answer to a query; None if it is not one, whatever it is."""
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
    except Exception:
        # dnspython raises its own exceptions for what is malformed, and others for what its authors did not foresee.
        return None
    return message if query.is_response(message) and message.opcode() == dns.opcode.QUERY else None


def addresses_in(message: dns.message.Message, name: dns.name.Name) -> list[str]:
    """The addresses that an answer has for a name, aliases followed. Raises NotFound, Refused, Corrupt."""
    code = message.rcode()
    if code == dns.rcode.NXDOMAIN:
        raise NotFound(f"there is no {name}")
    if code != dns.rcode.NOERROR:
        raise Refused(f"the name server answers {dns.rcode.to_text(code)}")
    for _ in range(MAX_ALIASES):
        found = list(_records(message, name))
        addresses = [record.address for record in found if isinstance(record, A)]
        aliases = [record.target for record in found if isinstance(record, CNAME)]
        if addresses:
            return addresses[:MAX_ADDRESSES]
        if not aliases:
            raise NotFound(f"{name} has no address")
        name = aliases[0]
    raise Corrupt("the name leads in a circle")


def _records(message: dns.message.Message, name: dns.name.Name) -> Iterator[object]:
    for rrset in message.answer:
        if rrset.name == name and rrset.rdclass == dns.rdataclass.IN:
            yield from rrset
