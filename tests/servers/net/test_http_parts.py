"""HTTP without any network: a browser or a server that says anything at all, at any pace."""

from typing import Any

import h11
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import Busy, Corrupt, Failure, Gone, Malformed, NotPermitted, TimedOut, TooLarge
from capkernel.protocols.files import READ
from capkernel.protocols.interface import Cap
from capkernel.protocols.network import Dialer, Endpoint, Resolver, Stream
from capkernel.user.messages import from_words, to_words
from servers.net.http_client import fetch, get
from servers.net.http_connection import MOST_HEARD, HttpConnection, Progress
from servers.net.http_handover import Keeper, KeptWeb
from servers.net.node import WAITING, Account
from servers.net.pages import Pages
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from servers.system.lasting_slots import LastingSlots
from tests.servers.net.test_parts import run
from tests.servers.update_bench import Lasting

PAGE = bytes(range(256)) * 300
SAID_BY_BROWSERS = [b"GET /page HTTP/1.1\r\n", b"\r\n", b"Host: m\r\n"]
SAID_BY_SERVERS = [b"HTTP/1.1 200 OK\r\n", b"\r\n", b"Content-Length: 5\r\n"]
ASKED = [("GET", "/page"), ("HEAD", "/page"), ("GET", "/none"), ("GET", "/empty/"), ("GET", "/page")]


class FakeStream(Stream):
    """A peer that says some pieces, one for each read that finds something, and takes ``room`` bytes at a time."""

    def __init__(self, pieces: list[bytes], room: int = 1 << 20, *, ends: bool = True) -> None:
        self.pieces = list(pieces)
        self.room = room
        self.ends = ends
        self.taken = bytearray()
        self.is_closed = False
        self.turn = 0

    async def read(self, limit: int, patience: int) -> bytes:
        while self.pieces and not self.pieces[0]:
            del self.pieces[0]
        if not self.pieces:
            if self.ends:
                return b""
            raise TimedOut("nothing")
        piece = self.pieces[0][:limit]
        self.pieces[0] = self.pieces[0][limit:]
        return piece

    async def write(self, data: bytes, patience: int) -> int:
        self.turn += 1
        if self.turn % 3 == 0 and patience == 0:
            raise TimedOut("no room")
        self.taken += data[: self.room]
        return min(len(data), self.room)

    async def shutdown(self) -> None:
        self.ends = True

    async def peer(self) -> Endpoint:
        return Endpoint("10.0.2.2", 80)

    async def watch(self, notification: Cap) -> None:
        return None

    async def closed(self) -> None:
        self.is_closed = True


def pages() -> Pages:
    """A directory with a page, a file with a strange name, a directory with nothing."""

    async def made() -> Pages:
        tree = Tree(RamVolume(1 << 20))
        root = tree.root_directory()
        for name, content in (("page", PAGE), ('<b>"&', b"odd")):
            await (await root.create(name)).write(0, content)
        await root.make_directory("empty")
        return Pages(tree.root_directory(READ))

    found: Pages = run(made())
    return found


async def served(stream: FakeStream, limit: int = 500) -> bool:
    """Serve a browser until it is over, or there is nothing more to be done for it; whether it came to that."""
    connection = HttpConnection(stream, pages(), 0)
    idle = 0
    for _ in range(limit):
        progress = await connection.go_on(4)
        idle = idle + 1 if progress is Progress.NONE else 0
        if progress is Progress.ENDED or idle > 3:
            await connection.close()
            return True
    return False


def answers(data: bytes, methods: list[str]) -> list[tuple[int, bytes]]:
    """The answers in what a browser got."""
    browser = h11.Connection(h11.CLIENT)
    browser.receive_data(data)
    found: list[tuple[int, bytes]] = []
    for method in methods:
        browser.send(h11.Request(method=method, target="/", headers=[("Host", "m")]))
        browser.send(h11.EndOfMessage())
        status, body = 0, b""
        while not isinstance(event := browser.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
        found.append((status, body))
        if browser.our_state is h11.DONE and browser.their_state is h11.DONE:
            browser.start_next_cycle()
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from(SAID_BY_BROWSERS), max_size=12))
def test_whatever_a_browser_says_is_answered_or_ends(pieces: list[bytes]) -> None:
    stream = FakeStream(pieces)
    assert run(served(stream))
    assert stream.is_closed
    assert not stream.taken or stream.taken.startswith(b"HTTP/1.1 ")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(500, 70_000))
def test_the_pace_does_not_matter(piece: int, room: int) -> None:
    asked = b"".join(f"{method} {target} HTTP/1.1\r\nHost: m\r\n\r\n".encode() for method, target in ASKED)
    stream = FakeStream([asked[at : at + piece] for at in range(0, len(asked), piece)], room)
    assert run(served(stream, 5000))
    found = answers(bytes(stream.taken), ["GET", "HEAD", "GET", "GET", "GET"])
    assert [status for status, _ in found] == [200, 200, 404, 200, 200]
    assert found[0][1] == found[4][1] == PAGE


def test_a_list_has_no_markup_of_others() -> None:
    stream = FakeStream([b"GET / HTTP/1.1\r\nHost: m\r\n\r\n"])
    assert run(served(stream))
    _, body = answers(bytes(stream.taken), ["GET"])[0]
    assert b"<b>" not in body
    assert b'href="./%3Cb%3E%22%26"' in body


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80) | st.sampled_from(SAID_BY_SERVERS), max_size=8))
def test_whatever_a_server_says_is_a_page_or_a_failure(pieces: list[bytes]) -> None:
    try:
        page = run(get(FakeStream(pieces), "host", "/"))
    except Corrupt:
        return
    assert 200 <= page.status < 600


def test_a_page_that_is_too_large() -> None:
    with pytest.raises(TooLarge):
        run(get(FakeStream([b"HTTP/1.0 200 OK\r\n\r\n", bytes(2000)]), "host", "/", 1000))


class FakeDialer(Dialer):
    def __init__(self, stream: FakeStream) -> None:
        self.stream = stream

    async def connect(self, patience: int) -> Stream:
        return self.stream

    async def target(self) -> Endpoint:
        return Endpoint("10.0.2.2", 8080)


class FakeResolver(Resolver):
    async def resolve(self, name: str) -> list[str]:
        return ["10.0.2.2"] if name == "here" else ["10.0.2.3"]


@pytest.mark.parametrize(
    ("url", "failure"),
    [
        ("http://there:8080/", NotPermitted), ("http://here/", NotPermitted), ("https://here:8080/", Malformed),
        ("here:8080", Malformed), ("http://here:8080/a b", Malformed), ("http://here:99999/", Malformed),
        ("http://[x", Malformed),
    ],
)  # fmt: skip
def test_urls_that_cannot_be_fetched_through_this_cap(url: str, failure: type[Failure]) -> None:
    with pytest.raises(failure):
        run(fetch(url, FakeDialer(FakeStream([])), FakeResolver()))


def test_a_url_that_can() -> None:
    stream = FakeStream([b"HTTP/1.1 203 So\r\nX-Y: z\r\nContent-Length: 2\r\n\r\nhi"])
    page: Any = run(fetch("http://here:8080/a/b?c=d", FakeDialer(stream), FakeResolver()))
    assert (page.status, page.body, page.header("x-y"), page.header("none")) == (203, b"hi", "z", "")
    assert bytes(stream.taken).startswith(b"GET /a/b?c=d HTTP/1.1\r\nHost: here:8080\r\n")
    assert stream.is_closed


def test_no_more_requests_of_a_session_wait_than_may() -> None:
    account = Account(most_streams=1)
    waiting = [account.one_waiting() for _ in range(WAITING)]
    for each in waiting:
        each.__enter__()
    with pytest.raises(Busy), account.one_waiting():
        raise AssertionError("one too many waits")
    waiting[0].__exit__(None, None, None)
    with account.one_waiting():
        assert account.waiting == WAITING


def test_a_peer_that_is_gone_ends_the_connection() -> None:
    class Broken(FakeStream):
        async def read(self, limit: int, patience: int) -> bytes:
            raise Gone("the peer reset the connection")

    assert run(HttpConnection(Broken([]), pages(), 0).go_on(4)) is Progress.ENDED


class Remembering(Keeper):
    """Writes connections down whose caps are other objects of this test, not caps."""

    def __init__(self, pages: Pages) -> None:
        connection = Connection(Lasting().pd(2).sys)
        super().__init__(connection, connection, pages, LastingSlots(connection.sys, 320, 1 << 58, range(1, 1000)))
        self.held: list[object] = []

    def _slot(self, stub: object) -> int:
        self.held.append(stub)
        return len(self.held)

    def next_life(self, connection: HttpConnection, now: int) -> HttpConnection:
        """The connection as another program has it that has taken it up."""
        kept = from_words(KeptWeb, to_words(self.keep({3: connection}, None, now)))
        found = self.connections(kept, range(15))[3]
        assert found.moved_at == connection.moved_at - now
        found.stream, found.moved_at = connection.stream, connection.moved_at
        if found.page is not None and connection.page is not None:
            assert len(found.page.opened) == len(connection.page.opened)
            found.page.opened, found.page.file = connection.page.opened, connection.page.file
        return found


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line, b"Host: m", *headers, b"", body])


ANSWERED = [
    request(b"GET /page HTTP/1.1"), request(b"HEAD /page HTTP/1.1"), request(b"GET /empty/ HTTP/1.1"),
    request(b"GET /none HTTP/1.1"), request(b"GET /empty HTTP/1.1"), request(b"POST /page HTTP/1.1"),
    request(b"GET /page HTTP/1.1", b"Range: bytes=9-40000"), request(b"GET /page HTTP/1.0"), b"what is this\r\n\r\n",
    request(b"GET /page HTTP/1.1", b"Content-Length: 7", body=b"ignored"), b"GET /page HT",
    request(b"GET /page HTTP/1.1", b"Connection: close"),
    request(b"GET /page HTTP/1.1", b"Content-Length: 40000", body=bytes(40_000)),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(ANSWERED), min_size=1, max_size=4), st.lists(st.integers(1, 200), max_size=20),
    st.sampled_from((900, 30_000)), st.booleans(), st.sets(st.integers(0, 60)),
)  # fmt: skip
def test_a_browser_gets_the_same_bytes_whenever_servers_are_replaced(
    asked: list[bytes], cuts: list[int], room: int, ends: bool, moments: set[int]
) -> None:
    """But for a request of more than can be heard again, after which the connection is closed."""
    text, pieces = b"".join(asked), []
    for cut in cuts:
        pieces.append(text[:cut])
        text = text[cut:]
    pieces.append(text)
    answers = []
    for replaced in (set(), moments):
        stream = FakeStream(pieces, room, ends=ends)
        made = pages()
        connection = HttpConnection(stream, made, 0)
        for turn in range(2000):
            if turn in replaced:
                connection = Remembering(made).next_life(connection, turn)
            stream.turn = turn
            if run(connection.go_on(1)) is Progress.ENDED or (not stream.pieces and turn > 1900):
                break
        answers.append(bytes(stream.taken))
    with_big = any(len(each) > MOST_HEARD for each in asked)
    assert answers[0] == answers[1] or (with_big and answers[0].startswith(answers[1]))


def test_what_no_web_server_can_have_left_is_refused() -> None:
    stream = FakeStream([ANSWERED[0]], 900, ends=False)
    connection = HttpConnection(stream, pages(), 0)
    while connection.page is None:
        assert run(connection.go_on(1)) is not Progress.ENDED
    keeper = Remembering(pages())
    kept = keeper.keep({3: connection}, None, 0)
    browser = kept.browsers[0]
    page = browser.page
    assert page is not None
    for wrong in (
        evolve(kept, browsers=[browser, browser]), evolve(kept, browsers=[evolve(browser, place=99)]),
        evolve(kept, browsers=[evolve(browser, slot=0)]), evolve(kept, browsers=[evolve(browser, slot=5000)]),
        evolve(kept, browsers=[evolve(browser, heard=b"")]), evolve(kept, browsers=[evolve(browser, end=1 << 40)]),
        evolve(kept, browsers=[evolve(browser, heard=b"what\r\n\r\n")]),
        evolve(kept, browsers=[evolve(browser, is_asked=False)]),
        evolve(kept, browsers=[evolve(browser, offset=-1)]),
        evolve(kept, browsers=[evolve(browser, page=evolve(page, is_file=False))]),
        evolve(kept, browsers=[evolve(browser, page=evolve(page, opened=[]))]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"place|slot|said|request|asked|page"):
            Remembering(pages()).connections(wrong, range(15))
    assert set(Remembering(pages()).connections(kept, range(15))) == {3}
