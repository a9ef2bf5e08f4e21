"""An HTTP client on h11 (RFC 9112): a page through a cap to connect to its server, and a cap to ask for names.

The client can fetch from where its ``Dialer`` leads, and from nowhere else: a URL of another server is NotPermitted.
"""

from typing import Final
from urllib.parse import urlsplit

import h11
from attrs import frozen

from capkernel.protocols.failures import Corrupt, Malformed, NotPermitted, TooLarge
from capkernel.protocols.network import Dialer, Resolver, Stream
from servers.net.closing import let_go

PATIENCE: Final = 30_000
"""Milliseconds that the server may be silent."""
CHUNK: Final = 16_000
MAX_BODY: Final = 1 << 24
HTTP_PORT: Final = 80


@frozen
class Page:
    """What a server answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, in lower-case words; empty if there is none."""
        return next((value for key, value in self.headers if key == name), "")


@frozen
class Address:
    """Where a URL leads: the server's name and port, what its ``Host`` header says, what is asked for there."""

    host: str
    port: int
    authority: str
    target: str


def address_of_url(url: str) -> Address:
    """Take a URL of HTTP apart. Raises Malformed."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, HTTP_PORT if parts.port is None else parts.port
    except ValueError as error:
        raise Malformed(f"{url!r} is no URL: {error}") from None
    if parts.scheme != "http" or not host:
        raise Malformed(f"{url!r} is no URL of HTTP")
    if not url.isascii():
        raise Malformed(f"{url!r} is no URL: in one, characters beyond ASCII are written as %XX")
    query = f"?{parts.query}" if parts.query else ""
    return Address(host, port, parts.netloc.rpartition("@")[2], (parts.path or "/") + query)


async def fetch(url: str, dialer: Dialer, resolver: Resolver, *, limit: int = MAX_BODY) -> Page:
    """Get a page. Raises NotPermitted, Malformed, Corrupt, TooLarge, and what dialer and resolver raise."""
    address = address_of_url(url)
    target = await dialer.target()
    addresses = await resolver.resolve(address.host)
    if target.address not in addresses or target.port != address.port:
        raise NotPermitted(f"{url} is elsewhere than at {target.address}:{target.port}")
    stream = await dialer.connect(PATIENCE)
    try:
        return await get(stream, address.authority, address.target, limit)
    finally:
        await let_go(stream)


async def get(stream: Stream, host: str, path: str, limit: int = MAX_BODY) -> Page:
    """Ask for a page, as the only one on this connection."""
    protocol = h11.Connection(h11.CLIENT)
    try:
        headers = [("Host", host), ("Connection", "close"), ("Accept", "*/*")]
        await send_all(stream, protocol.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
        protocol.send(h11.EndOfMessage())
        return await _page(stream, protocol, limit)
    except h11.LocalProtocolError as error:
        raise Malformed(f"{path!r} cannot be asked for: {error}") from None
    except h11.RemoteProtocolError as error:
        raise Corrupt(f"the answer is no HTTP: {error}") from None


async def _page(stream: Stream, protocol: h11.Connection, limit: int) -> Page:
    status, headers, body = 0, [], bytearray()
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await stream.read(CHUNK, PATIENCE))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                raise TooLarge(f"the page has more than {limit} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Page(status, tuple(headers), bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise Corrupt("the server closed the connection before it answered")


async def send_all(stream: Stream, data: bytes) -> None:
    """Write all of it. Raises what ``write`` raises."""
    while data:
        data = data[await stream.write(data[:CHUNK], PATIENCE) :]
