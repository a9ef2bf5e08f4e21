"""Connections that the server ends: they cost nothing any more once the browser has ended them, too."""

from servers.clients.publisher import INDEX
from tests.servers.net.outside import Played
from tests.servers.net.test_http import Browser
from tests.servers.net.wire import needs_lwip

pytestmark = needs_lwip

MANY = 20
"""More than the bytes that a client of the network server may have on their way would allow."""


def test_browsers_that_ask_for_one_page_each_are_all_answered() -> None:
    played = Played()
    assert played.run(lambda: played.stage.words("published", 1)[0])
    for target, expected in (("/", 200), ("/..", 400)):
        for _ in range(MANY):
            browser = Browser(played, ("GET", target, [("Connection", "close")]))
            assert played.run(lambda browser=browser: browser.is_over)
            head, body = browser.answers[0]
            assert head.status_code == expected
            assert (body == INDEX) == (expected == 200)
    played.close()
