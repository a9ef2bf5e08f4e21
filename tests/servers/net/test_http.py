"""The web server, seen by browsers outside: pages of the file server, whatever one of the browsers does."""

from collections.abc import Iterator

import h11
import pytest

from capkernel.tools.inject import Fault, Kind
from servers.clients.publisher import BIG_BYTES, INDEX, NOTE, big
from servers.net.lwip.stack import NetError
from tests.servers.net.outside import Played
from tests.servers.net.wire import CLIENT, needs_lwip

pytestmark = needs_lwip

MACHINE, PORT = CLIENT, 80
BIG = big()


class Browser:
    """One connection to the machine, and the answers that came on it."""

    def __init__(self, played: Played, *requests: tuple[str, str] | tuple[str, str, list[tuple[str, str]]]) -> None:
        self.connection = played.outside.stack.connect(MACHINE, PORT)
        self.protocol = h11.Connection(h11.CLIENT)
        self.requests = list(requests)
        self.answers: list[tuple[h11.Response, bytes]] = []
        self.head: h11.Response | None = None
        self.body = b""
        self.out = b""
        self.is_over = False
        self._ask()
        played.outside.serving.append(self.go_on)

    def _ask(self) -> None:
        method, target, *rest = self.requests.pop(0)
        headers = [("Host", "machine"), *(rest[0] if rest else [])]
        self.out += self.protocol.send(h11.Request(method=method, target=target, headers=headers)) or b""
        self.protocol.send(h11.EndOfMessage())

    def go_on(self) -> bool:
        connection = self.connection
        if self.out and connection.error is None:
            self.out = self.out[connection.send(self.out) :]
        while not self.is_over:
            event = self.protocol.next_event()
            if event is h11.NEED_DATA:
                data = connection.receive()
                if not data and not connection.at_end:
                    return False
                self.protocol.receive_data(data)
            elif isinstance(event, h11.Response):
                self.head, self.body = event, b""
            elif isinstance(event, h11.Data):
                self.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert self.head is not None
                self.answers.append((self.head, self.body))
                if not self.requests:
                    self.is_over = True
                elif self.protocol.our_state is h11.DONE and self.protocol.their_state is h11.DONE:
                    self.protocol.start_next_cycle()
                    self._ask()
                    return False
            else:
                self.is_over = True
        connection.close()
        return True

    @property
    def statuses(self) -> list[int]:
        return [head.status_code for head, _ in self.answers]


@pytest.fixture
def played() -> Iterator[Played]:
    made = Played()
    assert made.run(lambda: made.stage.words("published", 1)[0])
    yield made
    assert not made.stage.system.faults
    made.close()


def answer(played: Played, method: str, target: str, *headers: tuple[str, str]) -> tuple[h11.Response, bytes]:
    browser = Browser(played, (method, target, list(headers)))
    assert played.run(lambda: browser.is_over)
    return browser.answers[0]


def header(head: h11.Response, name: bytes) -> bytes:
    return next((value for key, value in head.headers if key == name), b"")


def test_pages_and_what_is_none(played: Played) -> None:
    head, body = answer(played, "GET", "/")
    assert (head.status_code, body, header(head, b"content-type")) == (200, INDEX, b"text/html; charset=utf-8")
    head, body = answer(played, "HEAD", "/big.bin")
    assert (head.status_code, body, header(head, b"content-length")) == (200, b"", str(BIG_BYTES).encode())
    assert answer(played, "GET", "/notes/note.txt?x=1")[1] == NOTE
    head, _ = answer(played, "GET", "/notes")
    assert (head.status_code, header(head, b"location")) == (301, b"/notes/")
    assert b'<a href="./note.txt">' in answer(played, "GET", "/notes/")[1]
    for target in ("/nothing", "/nothing/", "/index.html/", "/index.html/x"):
        assert answer(played, "GET", target)[0].status_code == 404
    for target in ("/../x", "/%2e%2e/x", "/a%2fb", "/%00", "//", "*"):
        assert answer(played, "GET", target)[0].status_code == 400
    for target in ("http:///", "http://[", "http://u@m/", "http://m:x/", "http://m/../x", "ftp://m/", "m:80"):
        assert answer(played, "GET", target)[0].status_code == 400
    assert answer(played, "HEAD", "/nothing")[1] == b""
    assert answer(played, "POST", "/")[0].status_code == 405


@pytest.mark.parametrize(
    ("target", "status", "there"),
    [
        ("http://machine/notes/note.txt", 200, NOTE), ("HTTP://10.0.2.15:8080/notes/note.txt?x=/", 200, NOTE),
        ("http://another", 200, INDEX),
        ("http://another?x=/notes/", 200, INDEX), ("http://[::1]:80/", 200, INDEX),
        ("http://machine/notes?x", 301, b"/notes/"), ("http://machine/nothing", 404, b""),
    ],
)  # fmt: skip
def test_a_target_may_be_a_whole_url_of_whatever_host(played: Played, target: str, status: int, there: bytes) -> None:
    head, body = answer(played, "GET", target)
    assert head.status_code == status
    assert there in (body, header(head, b"location"))


def answered_raw(played: Played, said: bytes) -> bytes:
    """All that comes until the server closes the connection."""
    connection = played.outside.stack.connect(MACHINE, PORT)
    connection.send(said)
    heard = bytearray()
    assert played.run(lambda: heard.extend(connection.receive()) or connection.at_end)
    return bytes(heard)


def test_a_request_whose_end_is_said_in_two_ways_is_refused_and_nothing_more_is_heard(played: Played) -> None:
    head = b"GET / HTTP/1.1\r\nHost: m\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n"
    heard = answered_raw(played, head + b"0\r\n\r\nGET /big.bin HTTP/1.1\r\nHost: m\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 400")
    assert heard.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"9.9"])
def test_another_version_is_not_supported(played: Played, version: bytes) -> None:
    assert answered_raw(played, b"GET / HTTP/" + version + b"\r\nHost: m\r\n\r\n").startswith(b"HTTP/1.1 505")


def test_ranges(played: Played) -> None:
    cases = [("bytes=0-9", 0, 10), ("bytes=119990-", 119990, BIG_BYTES), ("bytes=-5", 119995, BIG_BYTES)]
    for wanted, start, end in cases:
        head, body = answer(played, "GET", "/big.bin", ("Range", wanted))
        assert (head.status_code, body) == (206, BIG[start:end])
        assert header(head, b"content-range") == f"bytes {start}-{end - 1}/{BIG_BYTES}".encode()
    assert answer(played, "GET", "/big.bin", ("Range", "bytes=900000-"))[0].status_code == 416
    assert answer(played, "GET", "/big.bin", ("Range", "lines=1-2"))[1] == BIG


def test_a_connection_is_kept_for_several_requests(played: Played) -> None:
    browser = Browser(played, ("GET", "/"), ("HEAD", "/nothing"), ("GET", "/big.bin"), ("GET", "/notes/note.txt"))
    assert played.run(lambda: browser.is_over)
    assert browser.statuses == [200, 404, 200, 200]
    assert [body for _, body in browser.answers] == [INDEX, b"", BIG, NOTE]


def answered_behind(played: Played, said: list[bytes], target: str, longest_ms: int, apart_ms: int = 0) -> bytes:
    """What an honest browser is sent who comes after others who say that, and who neither go on nor read anything."""
    slow = []
    for request in said:
        slow.append(played.outside.stack.connect(MACHINE, PORT))
        slow[-1].send(request)
        played.run(lambda: False, apart_ms)
    browser = Browser(played, ("GET", target))
    assert played.run(lambda: browser.is_over, longest_ms)
    assert browser.statuses == [200]
    for each in slow:
        each.abort()
    return browser.answers[0][1]


WHOLE, HALF = [b"GET /big.bin HTTP/1.1\r\nHost: m\r\n" + end for end in (b"\r\n", b"X: ")]


def test_slow_browsers_do_not_hold_up_others(played: Played) -> None:
    """Some say half of a request, some never read what they asked for; all places are taken."""
    assert answered_behind(played, [HALF, WHOLE] * 10, "/big.bin", 8_000, apart_ms=5) == BIG


@pytest.mark.parametrize(("half", "longest_ms"), [(4, 20), (20, 700), (32, 3_000), (100, 3_000)])
def test_who_says_half_of_a_request_keeps_no_honest_browser_waiting(played: Played, half: int, longest_ms: int) -> None:
    """With more than ``BACKLOG`` at once his own SYN finds no place, and he says it again after 2.6 s."""
    assert answered_behind(played, [b"GET / HT"] * half, "/", longest_ms) == INDEX


@pytest.mark.parametrize("greedy", [6, 14, 20])
def test_who_reads_nothing_of_what_he_asked_for_keeps_no_honest_browser_waiting(played: Played, greedy: int) -> None:
    assert answered_behind(played, [WHOLE] * greedy, "/big.bin", 1_000, apart_ms=30) == BIG


def test_too_long_a_header_is_refused(played: Played) -> None:
    head, _ = answer(played, "GET", "/", ("X", "y" * 20_000))
    assert head.status_code == 431


def test_noise_is_answered_or_ends_the_connection(played: Played) -> None:
    stack = played.outside.stack
    for noise in (b"\0" * 50, b"GET / HTTP/1.1\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: m\r\n\r\n", b"GET  /\r\n\r\n"):
        connection = stack.connect(MACHINE, PORT)
        connection.send(noise)
        assert played.run(lambda connection=connection: connection.at_end or connection.unread), noise
        assert connection.receive()[:12] in (b"HTTP/1.1 400", b"")
        connection.close()
    assert answer(played, "GET", "/")[0].status_code == 200


def test_a_port_that_is_taken_away_closes_its_connections(played: Played) -> None:
    kept = Browser(played, ("GET", "/notes/note.txt"), ("GET", "/big.bin"))
    kept.requests.append(("GET", "/"))
    half = played.outside.stack.connect(MACHINE, PORT)
    half.send(b"GET /")
    played.run(lambda: half.connected, 100)
    played.run(lambda: False, 20)
    played.stage.write_words("orders", 80)
    assert played.run(lambda: half.at_end or half.error is not None, 1000)
    assert played.stage.words("orders", 2) == (0, 1)
    late = played.outside.stack.connect(MACHINE, PORT)
    assert played.run(lambda: late.error is not None, 1000)
    assert isinstance(late.error, NetError)
    assert late.error.reason.name == "Refused"


CRASHES = [3, 30, 60, 80]


@pytest.mark.slow
@pytest.mark.parametrize("after", CRASHES)
def test_a_page_comes_over_whole_although_the_driver_dies(played: Played, after: int) -> None:
    injector = played.stage.injector
    injector.faults.append(Fault("card", injector.steps["card"] + after, Kind.CRASH))
    browser = Browser(played, ("GET", "/big.bin"))
    assert played.run(lambda: browser.is_over)
    assert injector.activated
    assert browser.answers[0][1] == BIG


def test_a_driver_that_dies_while_all_is_quiet_is_opened_again(played: Played) -> None:
    played.run(lambda: False, 200)
    played.stage.injector.crash_next("card")
    played.run(lambda: False, 200)
    assert played.stage.injector.activated
    assert answer(played, "GET", "/")[1] == INDEX
