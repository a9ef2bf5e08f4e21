"""Browsers at the other end of the cable: one that attacks the machine's web server, one that honestly wants a page.

The attacker asks for what is not below the server's directory, says what is no request, and in the end has requests on
as many connections as there are that begin and never end. Time is the machine's.
"""

from typing import Final

from capkernel.protocols.attacks import Row, Trick
from servers.attackers.neighbour import CONTENT, KEPT
from servers.net.echo_host import EchoHost
from servers.net.far_host import MACHINE, WEB_PORT, Browser
from servers.net.lwip.stack import Connection, NetError, Stack

HEAD: Final = b"GET %s HTTP/1.1\r\nHost: mallory\r\nConnection: close\r\n\r\n"
PATHS: Final = (
    b"/..", b"/../log/log.0", b"/../../kept", b"/./../audit/key", b"/%2e%2e/audit/key", b"/..%2faudit%2fkey", b"/%00",
    b"/%ff%fe", b"/kept/../../audit/key", b"http://[", b"*", b"/" + b"x" * 300, b"//audit/key", b"/%2F..%2Faudit/key",
)  # fmt: skip
_FIELDS: Final = b" HTTP/1.1\r\nHost: m\r\nConnection: close\r\n"
GARBAGE: Final = (
    b"\0" * 100 + b"\r\n\r\n", b"\xff\xfe\x00\r\n\r\n", b"GET\r\n\r\n", b"GET /kept FTP/1.1\r\n\r\n",
    b"PUT /kept" + _FIELDS + b"\r\n", b"DELETE /kept" + _FIELDS + b"\r\n", b"GET /kept HTTP/1.1\r\n\r\n",
    b"GET /kept" + _FIELDS + b"Content-Length: -1\r\n\r\n", b"GET /kept" + _FIELDS + b"a: b\r\n" * 2000 + b"\r\n",
    b"POST /kept" + _FIELDS + b"Content-Length: 99999999999999999999\r\n\r\n",
    b"GET /kept" + _FIELDS + b"Range: bytes=99999-0\r\nTransfer-Encoding: x\r\n\r\n",
)  # fmt: skip
HALF: Final = b"GET /kept HTTP/1.1\r\nHos"
SILENT: Final = 20
"""Connections on which a request begins and never ends: more than the server has places."""
LONGEST_MS: Final = 2_000
"""Until no answer is one, too."""


class Try:
    """One request, on a connection of its own."""

    def __init__(self, stack: Stack, now: int, request: bytes) -> None:
        self.connection = stack.connect(MACHINE, WEB_PORT)
        self.until = now + LONGEST_MS
        self.out = request
        self.answer = b""

    def is_over(self, now: int) -> bool:
        """Go on; whether nothing more comes."""
        connection = self.connection
        if connection.error is not None or now >= self.until:
            connection.abort()
            return True
        if not connection.connected:
            return False
        try:
            self.out = self.out[connection.send(self.out) :] if self.out else b""
            self.answer += connection.receive()
        except NetError:
            connection.abort()
            return True
        if connection.at_end:
            connection.close()
            return True
        return False


class Mallory:
    """The attacker. ``rows`` is her account."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.rows = {trick: Row() for trick in Trick}
        self.told: list[str] = []
        self.requests = [(Trick.PATHS, HEAD % path) for path in PATHS] + [(Trick.INPUT, each) for each in GARBAGE]
        self.current: Try | None = None
        self.silent: list[Connection] = []
        self.begun: set[int] = set()
        self.is_done = False

    def go_on(self, now: int) -> None:
        """Do what can be done now."""
        if self.current is None and self.requests:
            self.current = Try(self.stack, now, self.requests[0][1])
        elif self.current is not None and self.current.is_over(now):
            self._judge(*self.requests.pop(0), self.current.answer)
            self.current = None
        elif not self.requests and self.current is None:
            self._stay()

    def _judge(self, trick: Trick, request: bytes, answer: bytes) -> None:
        """No page may be in an answer."""
        row, is_way_in = self.rows[trick], CONTENT in answer or answer.split(b"\r\n")[0].split(b" ")[1:2] == [b"200"]
        self.rows[trick] = Row(row.tries + 1, row.refused + (not is_way_in), row.ways_in + is_way_in)
        if is_way_in:
            self.told.append(f"{trick.value}: {request[:40]!r} was answered with {answer[:40]!r}")

    def _stay(self) -> None:
        """Begin on one connection after the other, and never end."""
        if len(self.silent) < SILENT:
            self.silent.append(self.stack.connect(MACHINE, WEB_PORT))
            row = self.rows[Trick.SLOW]
            self.rows[Trick.SLOW] = Row(row.tries + 1, row.refused, row.ways_in)
        for number, each in enumerate(self.silent):
            if each.connected and each.error is None and number not in self.begun:
                each.send(HALF)
                self.begun.add(number)
        self.is_done = len(self.silent) == SILENT


class Browsers(EchoHost):
    """The host with both; they begin when ``is_open`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.mallory = Mallory(self._stack)
        self.honest = Browser(self._stack, {f"/{KEPT}": CONTENT}, 0)
        self.is_open = False
        self.longest_ms = 0
        self._fetched = self._began = 0

    def receive(self, limit: int) -> list[bytes]:
        """Do what is due; at most ``limit`` frames for the machine."""
        if self.is_open:
            now = self._now()
            self.mallory.go_on(now)
            self.honest.go_on(now)
            if self.honest.fetched != self._fetched or not self._began:
                self._fetched, self._began = self.honest.fetched, now
            self.longest_ms = max(self.longest_ms, now - self._began)
        return super().receive(limit)
