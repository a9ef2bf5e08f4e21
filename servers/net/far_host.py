"""A host at the other end of a network cable that is a peer in every way: for a card of a simulated machine.

It sends back what it gets over TCP and UDP, gives out a name, and lets browsers fetch pages of the machine's web server
again and again. It looks at every byte that they get. Its time is the machine's, so a run goes the same way each time.
"""

from collections.abc import Mapping
from typing import Final

import dns.message
import dns.rrset
import h11

from servers.net.echo_host import ADDRESS, PORT, EchoHost
from servers.net.lwip.stack import Connection, NetError, Stack, UdpSocket

MACHINE: Final = "10.0.2.15"
NAME: Final = "far.test"
WEB_PORT, NAME_PORT = 80, 53
REQUESTS: Final = 5
"""Of a browser on one connection."""
PAUSE: Final = 5
"""Milliseconds until a browser begins again whose connection could not be made."""


class Browser:
    """Fetches one page after the other; ``failed`` counts connections that broke, ``wrong`` wrong pages."""

    def __init__(self, stack: Stack, pages: Mapping[str, bytes], first: int) -> None:
        self.stack = stack
        self.pages = list(pages.items())
        self.number = first
        self.fetched = self.failed = self.wrong = 0
        self.connection: Connection | None = None
        self.protocol = h11.Connection(h11.CLIENT)
        self.out = b""
        self.body = b""
        self.asked = 0
        self.is_stopping = self.is_over = False
        self.again_at = 0
        """Milliseconds."""

    def go_on(self, now: int) -> None:
        """Do what can be done now."""
        if self.connection is None:
            if self.is_stopping:
                self.is_over = True
            elif now >= self.again_at:
                self.connection = self.stack.connect(MACHINE, WEB_PORT)
                self.protocol, self.out, self.asked = h11.Connection(h11.CLIENT), b"", 0
        elif self.connection.error is not None:
            self._fail(now)
        elif self.connection.connected:
            try:
                self._talk(self.connection)
            except (NetError, h11.RemoteProtocolError):
                self._fail(now)

    def _fail(self, now: int) -> None:
        if self.connection is not None:
            self.connection.abort()
        self.failed += 1
        self.connection, self.again_at = None, now + PAUSE

    def _talk(self, connection: Connection) -> None:
        if self.protocol.our_state is h11.IDLE:
            if self.is_stopping or self.asked == REQUESTS:
                connection.close()
                self.connection = None
                return
            self._ask()
        self.out = self.out[connection.send(self.out) :] if self.out else b""
        data = connection.receive()
        if data or connection.at_end:
            self.protocol.receive_data(data)
        while (event := self.protocol.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                self.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._check()
                self.protocol.start_next_cycle()
                return
            elif not isinstance(event, h11.Response):
                raise h11.RemoteProtocolError(f"there was to be a page, and there was {event!r}")

    def _ask(self) -> None:
        path, _ = self.pages[self.number % len(self.pages)]
        request = h11.Request(method="GET", target=path, headers=[("Host", MACHINE)])
        self.out = (self.protocol.send(request) or b"") + (self.protocol.send(h11.EndOfMessage()) or b"")
        self.body = b""
        self.asked += 1

    def _check(self) -> None:
        self.fetched += 1
        self.wrong += self.body != self.pages[self.number % len(self.pages)][1]
        self.number += 1


class FarHost(EchoHost):
    """The host. ``browsers`` fetch what is at the paths of ``pages``, each beginning with another one."""

    def __init__(self, pages: Mapping[str, bytes], browsers: int) -> None:
        super().__init__()
        self.echo: UdpSocket = self._stack.udp(PORT)
        self.names: UdpSocket = self._stack.udp(NAME_PORT)
        self.browsers = [Browser(self._stack, pages, number) for number in range(browsers)]
        self.is_browsing = False

    def receive(self, limit: int) -> list[bytes]:
        """Do what is due; at most ``limit`` frames for the machine."""
        while (found := self.echo.receive()) is not None:
            self.echo.send(found[0], *found[1])
        while (found := self.names.receive()) is not None:
            self.names.send(_answer(found[0]), *found[1])
        for browser in self.browsers if self.is_browsing else ():
            browser.go_on(self._now())
        return super().receive(limit)

    def stop(self) -> bool:
        """Let the browsers end what they have begun; whether they have."""
        for browser in self.browsers:
            browser.is_stopping = True
        return all(browser.is_over for browser in self.browsers)


def _answer(question: bytes) -> bytes:
    query = dns.message.from_wire(question)
    response = dns.message.make_response(query)
    if query.question[0].name.to_text(omit_final_dot=True) == NAME:
        response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", ADDRESS.partition("/")[0]))
    return response.to_wire()
