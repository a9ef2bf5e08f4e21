"""One browser's connection to the web server: its requests, one after the other, and what it is sent. Never waits."""

import re
from enum import Enum, auto
from typing import Final

import h11

from capkernel.protocols.failures import Failure, Malformed, NotFound, NotPermitted, TimedOut, TooLarge
from capkernel.protocols.network import Stream
from servers.net.closing import let_go
from servers.net.pages import Moved, Page, Pages, path_in

CHUNK: Final = 24_000
"""Bytes of a page in one piece."""
MAX_HEADER: Final = 8192
HEARD: Final = 2048
"""Bytes of a request that are taken in one piece; a header is too long if it is incomplete beyond ``MAX_HEADER``."""
MOST_HEARD: Final = 32_768
"""Bytes that are remembered of a request; of one with more, nobody else can hear the rest."""
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_REASONS: Final = {
    200: "OK", 206: "Partial Content", 301: "Moved Permanently", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable",
    431: "Request Header Fields Too Large", 501: "Not Implemented", 503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}  # fmt: skip
Headers = list[tuple[str, str]]


class Progress(Enum):
    """What came of a turn: nothing; something, and now it waits; there is more to do at once; the end."""

    NONE = auto()
    SOME = auto()
    MORE = auto()
    ENDED = auto()


class HttpConnection:
    """A connection; ``moved_at`` is for its owner to note when something last happened.

    ``heard`` is what the browser has said since its last request was answered, as far as somebody else could begin
    there; ``is_asked`` whether a whole request is among it.
    """

    def __init__(self, stream: Stream, pages: Pages, now: int) -> None:
        self.stream = stream
        self.pages = pages
        self.moved_at = now
        self.protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER)
        self.heard = b""
        self.is_asked = self.has_ended = False
        self.method = ""
        self.out = b""
        self.page: Page | None = None
        self.offset = self.end = 0

    async def go_on(self, pieces: int) -> Progress:
        """Do what can be done without waiting, but no more than so many pieces."""
        progress = Progress.NONE
        for _ in range(pieces):
            step = await self._step()
            if step is not Progress.MORE:
                return progress if step is Progress.NONE else step
            progress = Progress.SOME
        return Progress.MORE

    async def _step(self) -> Progress:
        """One piece: MORE if it was done, NONE if it must wait for the browser, ENDED."""
        try:
            if self.out:
                self.out = self.out[await self.stream.write(self.out[:CHUNK], 0) :]
            elif self.page is not None:
                await self._next_piece(self.page)
            elif self.is_last:
                return Progress.ENDED
            elif self.protocol.our_state is h11.DONE and self.protocol.their_state is h11.DONE:
                self.protocol.start_next_cycle()
                self.heard, self.is_asked = self.protocol.trailing_data[0], False
            else:
                return await self._hear()
        except TimedOut:
            return Progress.NONE
        except (Failure, h11.LocalProtocolError):
            # The browser is gone; or the file server, in the middle of a page: nobody can be told any more.
            return Progress.ENDED
        return Progress.MORE

    @property
    def is_last(self) -> bool:
        """Whether nothing more is heard on this connection: what is to be sent is its end."""
        return self.protocol.our_state in (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)

    async def _hear(self) -> Progress:
        """Something of a request."""
        try:
            event = self.protocol.next_event()
            if event is h11.NEED_DATA:
                data = await self.stream.read(HEARD, 0)
                self.heard += data[: MOST_HEARD + 1 - len(self.heard)]
                self.has_ended |= not data
                self.protocol.receive_data(data)
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return Progress.ENDED
            elif isinstance(event, h11.Request):
                self.is_asked = True
                await self._answer(event)
        except h11.RemoteProtocolError as error:
            self._say(error.error_status_hint if error.error_status_hint in _REASONS else 400, close=True)
        return Progress.MORE

    async def _answer(self, request: h11.Request) -> None:
        """Begin to answer a request."""
        self.method = method = request.method.decode("latin-1")
        target = request.target.decode("latin-1")
        if not request.http_version.startswith(b"1."):
            self._say(505, close=True)
            return
        if _header(request, b"transfer-encoding") and _header(request, b"content-length"):
            # Who stands between might see the request's end elsewhere, and another request in what follows (RFC 9112,
            # 6.1).
            self._say(400, close=True)
            return
        if method not in ("GET", "HEAD"):
            self._say(405, [("Allow", "GET, HEAD")], close=True)
            return
        try:
            page = await self.pages.find(target)
        except Moved:
            self._say(301, [("Location", path_in(target) + "/")])
        except Failure as failure:
            self._say(_status_of(failure))
        else:
            await self._begin(page, method, _header(request, b"range"))

    async def _begin(self, page: Page, method: str, wanted: str) -> None:
        """The head of an answer with a page."""
        start, end = 0, page.size
        headers = [("Content-Type", page.kind), ("Accept-Ranges", "bytes")]
        status = 200
        if wanted and (found := range_in(wanted, page.size)) is not None:
            start, end = found
            if start >= end:
                await page.close()
                self._say(416, [("Content-Range", f"bytes */{page.size}")])
                return
            headers.append(("Content-Range", f"bytes {start}-{end - 1}/{page.size}"))
            status = 206
        headers.append(("Content-Length", str(end - start)))
        self._send(h11.Response(status_code=status, headers=headers, reason=_REASONS[status].encode()))
        if method == "HEAD" or start == end:
            self._send(h11.EndOfMessage())
            await page.close()
        else:
            self.page, self.offset, self.end = page, start, end

    async def _next_piece(self, page: Page) -> None:
        """Read a piece of the page. Raises NotFound if the file has become shorter."""
        data = await page.read(self.offset, min(CHUNK, self.end - self.offset))
        if not data:
            raise NotFound("the file has become shorter")
        self.offset += len(data)
        self._send(h11.Data(data=data))
        if self.offset == self.end:
            self._send(h11.EndOfMessage())
            self.page = None
            await page.close()

    def _say(self, status: int, headers: Headers | None = None, *, close: bool = False) -> None:
        """Answer with a line of text; ``close`` if the rest of what the browser says is not to be heard."""
        body = f"{status} {_REASONS[status]}\n".encode()
        all_headers = [*(headers or []), ("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        if close:
            all_headers.append(("Connection", "close"))
        if self.protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        self._send(h11.Response(status_code=status, headers=all_headers, reason=_REASONS[status].encode()))
        if self.method != "HEAD":
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        self.out += self.protocol.send(event) or b""

    async def close(self) -> None:
        """Give up the connection, and what is open for it."""
        if self.page is not None:
            await self.page.close()
        await let_go(self.stream)


def range_in(wanted: str, size: int) -> tuple[int, int] | None:
    """From where to where a range reaches in a page; nothing between if it lies outside; None if it makes no sense."""
    found = _RANGE.fullmatch(wanted.strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _header(request: h11.Request, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in request.headers if key == name), "")


def _status_of(failure: Failure) -> int:
    if isinstance(failure, NotFound):
        return 404
    if isinstance(failure, NotPermitted):
        return 403
    return 400 if isinstance(failure, Malformed | TooLarge) else 503
