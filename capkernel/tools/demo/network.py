"""The network in user space, with the host outside: its curl fetches a page, its servers answer, the driver dies.

The host's side is user-mode sockets (``runtime.hostnet``): no privilege is needed, and nothing but loopback is reached.
Real programs answer, so two runs differ in their times; what is claimed does not. ``python -m
capkernel.tools.demo.network`` leaves the web server running for a browser.
"""

import hashlib
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from time import monotonic

from attrs import define

from capkernel.runtime.hostnet import GATEWAY, LOOPBACK, HostNet
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from hwmodel.virtio import virtio_net

TITLE = "a machine in the network: the host's curl fetches a page, whatever becomes of the driver"
POINTS = 6
"""In how many transfers the driver is killed, each time at another point."""
PATIENCE = 60.0
"""Seconds of the host's until something is given up."""
PAGE = bytes(range(256)) * 300
_ECHO_PORT, _WEB_PORT = "10007", "10080"
"""Ports in the shipped policy; the host's servers have others, any that are free."""
_SLICE_US = 1000


class _Echo(BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        """One connection."""
        while data := self.request.recv(65536):
            self.request.sendall(data)


class _Web(BaseHTTPRequestHandler):
    """Gives out one page."""

    def do_GET(self) -> None:
        """One request."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingTCPServer):
    """A server of the host's that dies with this process."""

    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def serving() -> Iterator[tuple[int, int]]:
    """An echo server and a web server of the host's; their ports."""
    servers = [_Server((LOOPBACK, 0), _Echo), ThreadingHTTPServer((LOOPBACK, 0), _Web)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield servers[0].server_address[1], servers[1].server_address[1]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@define
class Fetched:
    """What came of a curl."""

    status: int
    body: bytes


class Inside:
    """The system ``network``, and the host outside of it."""

    def __init__(self, echo: int, web: int, *, port: int = 0, seed: int = 0) -> None:
        self.net = HostNet(
            forwards=[(port, 80)], allowed=[(LOOPBACK, echo), (LOOPBACK, web)],
            names={"files.test": GATEWAY, "elsewhere.test": "10.0.2.9"},
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            name = "network_policy.toml"
            policy = (find_system("network").parent / name).read_text()
            changed = policy.replace(_ECHO_PORT, str(echo)).replace(_WEB_PORT, str(web))
            (Path(folder) / name).write_text(changed)
            self.stage = Stage("network", variant=folder, seed=seed, devices={"virtio1": virtio_net(self.net)})
        self.stage.booted.boot()
        self.port = self.net.ports[80]

    def run(self, until: Callable[[], object], patience: float | None = PATIENCE) -> bool:
        """Run until something is so; false if it is not within so many seconds of the host's."""
        deadline = None if patience is None else monotonic() + patience
        machine = self.stage.system.machine
        while not until():
            if deadline is not None and monotonic() > deadline:
                return False
            if self.stage.system.run(time_us=_SLICE_US) != "time":
                return bool(until())
            if not machine.poll_input():
                # Virtual time is not to run away from the programs outside.
                self.net.wait(_SLICE_US / 1e6)
        return True

    def curl(self, path: str, *options: str, meanwhile: Callable[[], None] = lambda: None) -> Fetched:
        """Let the host's curl fetch something."""
        command = ["curl", "--silent", "--noproxy", "*", "--max-time", str(int(PATIENCE)), *options]
        with tempfile.TemporaryFile() as sink:
            browser = subprocess.Popen([*command, f"http://{LOOPBACK}:{self.port}{path}"], stdout=sink)

            def over() -> bool:
                meanwhile()
                return browser.poll() is not None

            self.run(over)
            browser.kill()
            status = browser.wait()
            sink.seek(0)
            return Fetched(status, sink.read())

    def close(self) -> None:
        """Give up everything."""
        self.stage.close()
        self.net.close()


def why_not() -> str:
    """Why the network server cannot run here; empty if it can."""
    found = next((point.value for point in entry_points(group="capkernel.programs", name="stack_server")), None)
    if found is None:
        return "no program named stack_server is installed"
    try:
        return str(import_module(found).WHY_NOT)
    except ImportError as error:
        return f"the network server needs a package that is not there: {error}"


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run for the client, with transfers in which the driver dies, and a port that is taken away in the end."""
    reason = why_not()
    if reason:
        story.skip(reason)
        return
    try:
        _play(story, everywhere)
    except OSError as error:
        story.skip(f"this host gives no sockets: {error}")


def _play(story: Story, everywhere: bool) -> None:
    with serving() as (echo, web):
        inside = Inside(echo, web, seed=story.seed)
        try:
            _client(story, inside)
            if shutil.which("curl"):
                _transfers(story, inside, everywhere)
                _withdrawal(story, inside)
            else:
                story.tell("the host has no curl: nothing is fetched from the machine")
            story.claim("nobody stopped but the driver", not inside.stage.system.faults, inside.stage.system.faults)
        finally:
            inside.close()


def _client(story: Story, inside: Inside) -> None:
    story.tell("the machine's client pings the gateway, asks for a name, talks to two servers of the host")
    stage = inside.stage
    inside.run(lambda: stage.words("report", 1)[0] and stage.words("published", 1)[0])
    done, errors, ping_us, addresses, echoed, page, refused = stage.words("report", 7)
    digest = stage.system.read_region("report")[56:88]
    story.claim("the client ends, and saw no error", done == 1 and not errors, stage.booted.output.text.strip())
    story.claim("a ping is answered", bool(ping_us), f"after {ping_us} µs of virtual time")
    story.claim("a name has its address", addresses == 1)
    story.claim("bytes sent to the host's echo server came back", echoed > 0, echoed)
    same = page == len(PAGE) and digest == hashlib.sha256(PAGE).digest()
    story.claim("a page of the host's web server is what it is there", same, f"{page} bytes")
    story.claim("a page elsewhere, another operation, a cap that it has not: refused", refused == 3, refused)


def _transfers(story: Story, inside: Inside, everywhere: bool) -> None:
    injector = inside.stage.injector
    before = injector.steps["card"]
    began = inside.stage.system.machine.now()
    calm = inside.curl("/big.bin")
    steps = injector.steps["card"] - before
    fetched_whole = calm.status == 0 and bool(calm.body)
    story.claim("the host's curl fetches a file of the machine's file server", fetched_whole, f"{len(calm.body)} bytes")
    story.figures["a file, ms of virtual time"] = (inside.stage.system.machine.now() - began) / 10_000
    listing = inside.curl("/notes/")
    story.claim("and a list of a directory", b"note.txt" in listing.body)
    outside = inside.curl("/../secret", "--path-as-is", "--write-out", "%{http_code}")
    story.claim("a path that leads out of it is refused", outside.body.endswith(b"400"))
    points = spread(steps, steps if everywhere else POINTS)
    story.tell(f"without a crash the driver makes {steps} steps in a transfer; now it dies at {len(points)} of them")
    same = 0
    lives = injector.lives["card"]
    for point in points:
        target = injector.steps["card"] + point
        planned: list[bool] = []

        def strike(target: int = target, planned: list[bool] = planned) -> None:
            if not planned and injector.steps["card"] >= target - 1:
                planned.append(True)
                injector.crash_next("card")

        fetched = inside.curl("/big.bin", meanwhile=strike)
        same += fetched == calm
    killed = injector.lives["card"] - lives
    story.claim("the driver was killed in these transfers", killed > 0, f"{killed} times")
    story.claim("each time curl saw no error and got the same bytes", same == len(points), f"{same} of {len(points)}")


def _withdrawal(story: Story, inside: Inside) -> None:
    story.tell("a browser is in the middle of a request; meanwhile the operator takes the port away")
    with socket.create_connection((LOOPBACK, inside.port)) as half:
        half.sendall(b"GET / HTTP/1.1\r\n")
        half.setblocking(False)
        was_open = not inside.run(lambda: _is_over(half), 0.2)
        inside.stage.write_words("orders", 80)
        closed = inside.run(lambda: _is_over(half))
    story.claim("its connection is closed", was_open and closed)
    late = inside.curl("/")
    story.claim("and nobody listens any more", late.status != 0, f"curl's status {late.status}")


def _is_over(connection: socket.socket) -> bool:
    """Whether the other side closed a connection."""
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True


def main() -> None:
    """Serve until interrupted."""
    reason = why_not()
    if reason:
        raise SystemExit(reason)
    with serving() as (echo, web):
        inside = Inside(echo, web)
        print(f"curl http://{LOOPBACK}:{inside.port}/      (also /big.bin, /notes/; Ctrl-C ends it)", flush=True)
        try:
            inside.run(lambda: False, None)
        except KeyboardInterrupt:
            print()
        finally:
            inside.close()


if __name__ == "__main__":
    main()
