"""What the web server leaves to the program after it: connections, what was heard on them, what is still to be sent.

The caps to connections and to what is open for them are in slots that last. A request that is being answered is heard
again by the next program's h11, which then sends what is left of the answer and nothing twice.
"""

from collections.abc import Container, Mapping

import h11
from attrs import frozen

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.files import Directory, File
from capkernel.protocols.network import Listener, Stream
from servers.net.http_connection import MOST_HEARD, HttpConnection
from servers.net.pages import Page, Pages
from servers.system.lasting_slots import LastingSlots


@frozen
class KeptCap:
    """A cap to something that is open, in its slot."""

    slot: int
    is_file: bool


@frozen
class KeptPage:
    """A page that is being sent; its file, if it is one, is what was opened last."""

    kind: str
    size: int
    content: bytes
    opened: list[KeptCap]
    is_file: bool


@frozen
class KeptBrowser:
    """A connection: for how many beats nothing moved, what was heard and is not answered, what is to be sent.

    ``is_last`` if nothing more is to be heard: it ends when all is sent.
    """

    place: int
    slot: int
    silent: int
    heard: bytes
    is_asked: bool
    has_ended: bool
    is_last: bool
    method: str
    out: bytes
    page: KeptPage | None
    offset: int
    end: int


@frozen
class KeptWeb:
    """All of it; ``watched`` is the slot of the cap to the listener, 0 for none."""

    watched: int
    browsers: list[KeptBrowser]
    is_open: bool = True
    is_crowded: bool = False


class Keeper:
    """Writes connections down, and makes them again, with the caps in ``slots``."""

    def __init__(self, network: Connection, files: Connection, pages: Pages, slots: LastingSlots) -> None:
        self.network = network
        self.files = files
        self.pages = pages
        self.slots = slots

    # Written down

    def keep(self, connections: Mapping[int, HttpConnection], watched: Listener | None, beats: int) -> KeptWeb:
        """Everything."""
        browsers = [self._keep_browser(place, each, beats) for place, each in connections.items()]
        return KeptWeb(0 if watched is None else self._slot(watched), browsers)

    def _keep_browser(self, place: int, each: HttpConnection, beats: int) -> KeptBrowser:
        is_too_long = len(each.heard) > MOST_HEARD
        return KeptBrowser(
            place, self._slot(each.stream), beats - each.moved_at, b"" if is_too_long else each.heard,
            each.is_asked and not is_too_long, each.has_ended, each.is_last or is_too_long, each.method, each.out,
            None if each.page is None else self._keep_page(each.page), each.offset, each.end,
        )  # fmt: skip

    def _keep_page(self, page: Page) -> KeptPage:
        opened = [KeptCap(self._slot(each), isinstance(each, File)) for each in page.opened]
        return KeptPage(page.kind, page.size, page.content, opened, page.file is not None)

    def _slot(self, stub: object) -> int:
        slot = self.slots.slot_of(stub.cap) if isinstance(stub, Stub) else None
        if slot is None:
            raise TypeError(f"{stub!r} is no cap in a slot that lasts")
        return slot

    # Taken up

    def listener(self, slot: int) -> Listener:
        """The listener behind the cap that ends with the network server's life."""
        return connect(Listener, self.network, self._claimed(slot), is_owned=True)

    def connections(self, kept: KeptWeb, places: Container[int]) -> dict[int, HttpConnection]:
        """The connections, by their places. Raises ValueError for what no server can have left."""
        made: dict[int, HttpConnection] = {}
        for each in kept.browsers:
            if each.place not in places or each.place in made:
                raise ValueError(f"a connection is at place {each.place}, or two are")
            made[each.place] = self._browser(each)
        return made

    def _claimed(self, slot: int) -> int:
        self.slots.claim(slot)
        return self.slots.address(slot)

    def _browser(self, kept: KeptBrowser) -> HttpConnection:
        stream = connect(Stream, self.network, self._claimed(kept.slot), is_owned=True)
        browser = HttpConnection(stream, self.pages, -kept.silent)
        browser.heard, browser.is_asked, browser.has_ended = kept.heard, kept.is_asked, kept.has_ended
        browser.method, browser.out = kept.method, kept.out
        if kept.page is not None:
            browser.page, browser.offset, browser.end = self._page(kept.page), kept.offset, kept.end
            if not 0 <= kept.offset < kept.end <= kept.page.size:
                raise ValueError("a page is sent from behind its end")
        try:
            _hear_again(browser, is_last=kept.is_last)
        except h11.ProtocolError as error:
            raise ValueError(f"nobody can have said this: {error}") from None
        return browser

    def _page(self, kept: KeptPage) -> Page:
        opened: list[File | Directory] = []
        for each in kept.opened:
            cap = self._claimed(each.slot)
            if each.is_file:
                opened.append(connect(File, self.files, cap, is_owned=True))
            else:
                opened.append(connect(Directory, self.files, cap, is_owned=True))
        last = opened[-1] if opened else None
        if kept.is_file != isinstance(last, File):
            raise ValueError("a page is of a file that is not open")
        return Page(kept.kind, kept.size, kept.content, last if isinstance(last, File) else None, opened)


def _hear_again(browser: HttpConnection, *, is_last: bool) -> None:
    """Bring h11 to where the former program's was. Raises h11.ProtocolError, ValueError.

    What h11 says meanwhile was said before. The rest of a page is to it a whole answer of that length.
    """
    protocol = browser.protocol
    if is_last:
        length = 0 if browser.page is None else browser.end - browser.offset
        _say_nothing(browser, [("Content-Length", str(length)), ("Connection", "close")])
        return
    if browser.heard:
        protocol.receive_data(browser.heard)
    if browser.is_asked:
        if not isinstance(protocol.next_event(), h11.Request):
            raise ValueError("there is to be a request, and there is none")
        length = 0 if browser.page is None else browser.end - browser.offset
        _say_nothing(browser, [("Content-Length", str(length))])
    elif browser.page is not None:
        raise ValueError("a page is sent for which nobody has asked")
    if browser.has_ended:
        protocol.receive_data(b"")


def _say_nothing(browser: HttpConnection, headers: list[tuple[str, str]]) -> None:
    browser.protocol.send(h11.Response(status_code=200, headers=headers))
    if browser.page is None:
        browser.protocol.send(h11.EndOfMessage())
