"""A conversation with the host's own kernel over a TAP device, in a network namespace that is only for this.

``unshare --map-root-user --net python -m tests.servers.net.over_tap stack|hostnet|shell``: streams go both ways between
the kernel and a stack, or between the kernel in the machine's place and the host's network for machines; or the kernel
fetches a page of the system of ``capkernel shell --net tap:tap0``. Prints "well".
"""

import fcntl
import os
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable

from capkernel.runtime.hostnet import GATEWAY, GUEST, LOOPBACK, HostNet
from servers.net.lwip.stack import Stack
from tests.servers.net.test_hostnet import PATIENCE, HostSide
from tests.servers.net.wire import Sender

SIZES = ((0, 0), (1, 300_000), (2_000_000, 5), (700_000, 900_000))


def interface(name: str, address: str) -> None:
    """Give an interface an address and bring it up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def set_address(request: int, value: str) -> None:
            sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, request, struct.pack("16s16s8x", name.encode(), sockaddr))

        set_address(0x8916, address)  # SIOCSIFADDR
        set_address(0x891C, "255.0.0.0" if name == "lo" else "255.255.255.0")  # SIOCSIFNETMASK
        fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", name.encode(), 0x41))  # SIOCSIFFLAGS: up, running


def tap(address: str) -> int:
    """A TAP device on which the kernel has `address`."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x1002))  # TUNSETIFF: TAP, no header
    interface("lo", LOOPBACK)
    interface("tap0", address)
    return device


def arrived(device: int) -> list[bytes]:
    """The frames that the kernel has sent."""
    frames = []
    while True:
        try:
            frames.append(os.read(device, 2000))
        except BlockingIOError:
            return frames


def run(go_on: Callable[[], object], until: Callable[[], object]) -> None:
    """Go on until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not until():
        if not go_on():
            time.sleep(0.0005)
        if time.monotonic() > deadline:
            raise TimeoutError


def with_stack() -> None:
    """The kernel and a stack."""
    device = tap(GATEWAY)
    start = time.monotonic()

    def send(frame: bytes) -> None:
        os.write(device, frame)

    stack = Stack(b"\x02\0\0\0\0\1", lambda: int((time.monotonic() - start) * 1000), send, address=f"{GUEST}/24")

    def go_on() -> int:
        frames = arrived(device)
        for frame in frames:
            stack.input(frame)
        stack.poll()
        return len(frames)

    listener = stack.listen(80)
    server = socket.create_server((GATEWAY, 0))
    for number, (out, back) in enumerate(SIZES * 2):
        chance = random.Random(number)
        data = chance.randbytes(out), chance.randbytes(back)
        if number < len(SIZES):
            host = socket.socket()
            host.setblocking(False)
            host.connect_ex((GUEST, 80))
            run(go_on, lambda: listener._waiting)
            connection = listener.accept()
            assert connection is not None
        else:
            connection = stack.connect(GATEWAY, server.getsockname()[1])
            made = connection
            run(go_on, lambda made=made: made.connected)
            host, _ = server.accept()
            host.setblocking(False)
        outer, inner = HostSide(host, data[0]), Sender(connection, data[1])
        run(go_on, lambda outer=outer, inner=inner: outer.go_on() + inner.go_on() == 2)
        assert outer.received == data[1]
        assert inner.received == data[0]
        host.close()
        connection.close()
    stack.ping(GATEWAY, identifier=3, sequence=4)
    run(go_on, lambda: [reply.sequence for reply in stack.echo_replies()] == [4])


def with_hostnet() -> None:
    """The kernel in the place of the machine."""
    device = tap(GUEST)
    outside = socket.create_server((LOOPBACK, 0))
    inside = socket.create_server((GUEST, 0))
    port, inner_port = outside.getsockname()[1], inside.getsockname()[1]
    net = HostNet(forwards=[(0, inner_port)], allowed=[(LOOPBACK, port)])

    def go_on() -> int:
        frames = arrived(device)
        for frame in frames:
            net.send(frame)
        answers = net.receive(64)
        for frame in answers:
            os.write(device, frame)
        return len(frames) + len(answers)

    for number, (out, back) in enumerate(SIZES * 2):
        chance = random.Random(number)
        data = chance.randbytes(out), chance.randbytes(back)
        server, target = (
            (outside, (GATEWAY, port)) if number < len(SIZES) else (inside, (LOOPBACK, net.ports[inner_port]))
        )
        server.setblocking(False)
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(target)
        taken: list[socket.socket] = []

        def take(server: socket.socket = server, taken: list[socket.socket] = taken) -> bool:
            try:
                taken.append(server.accept()[0])
            except BlockingIOError:
                return False
            return True

        run(go_on, take)
        taken[0].setblocking(False)
        sides = HostSide(one, data[0]), HostSide(taken[0], data[1])
        run(go_on, lambda sides=sides: sides[0].go_on() + sides[1].go_on() == 2)
        assert sides[0].received == data[1]
        assert sides[1].received == data[0]
        for side in sides:
            side.host.close()
        run(go_on, lambda: not net._flows)


def with_shell() -> None:
    """The kernel and the shell's system, which has made the device itself."""
    command = [sys.executable, "-m", "capkernel", "shell", "--net", "tap:tap0", "--seed", "1", "--script", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as machine:
        assert machine.stdin is not None
        assert machine.stdout is not None
        machine.stdin.write("write www/page over the cable\ncat www/page\n")
        machine.stdin.flush()
        while (line := machine.stdout.readline()) != "over the cable\n":
            assert line, "the shell has ended"
        interface("tap0", GATEWAY)
        with socket.create_connection((GUEST, 80), timeout=PATIENCE) as browser:
            browser.sendall(b"GET /page HTTP/1.1\r\nHost: machine\r\nConnection: close\r\n\r\n")
            page = b""
            while part := browser.recv(4096):
                page += part
        assert page.startswith(b"HTTP/1.1 200 "), page
        assert page.endswith(b"over the cable\n"), page
        rest, _ = machine.communicate("exit\n", timeout=PATIENCE)
        assert machine.returncode == 0, rest


if __name__ == "__main__":
    {"stack": with_stack, "hostnet": with_hostnet, "shell": with_shell}[sys.argv[1]]()
    print("well")
