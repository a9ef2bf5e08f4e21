"""``capkernel shell``: boot the whole system and give a prompt: files, services, network.

The prompt is a program inside, at the end of the machine's serial line. On a terminal the machine's time goes no faster
than the host's; otherwise (``--script``, or input from a pipe) as fast as it can. Exit status: 0 the shell was left,
1 the system could not be started or a domain of it stopped for good, 2 wrong usage.
"""

import os
import select
import sys
import termios
import time
import tty
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path
from struct import Struct
from tempfile import TemporaryDirectory
from typing import Annotated, Final, NoReturn

import typer

from capkernel.protocols.console import MAX_LINE
from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.hostnet import HostNet
from capkernel.runtime.serial import SerialInput
from capkernel.runtime.trace import Trace
from capkernel.system.board import find_board
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools import names
from capkernel.tools.demo.stage import BOARD, find_system
from capkernel.tools.overlay import lay_over
from capkernel.tools.plain import PlainTerminal
from capkernel.tools.plugs import is_tap, tap
from capkernel.tools.shell_disks import NEW_DISK, DiskError, Mirrored, one_disk, two_disks
from capkernel.tools.tour_systems import with_programs
from hwmodel.backend import Backend, BufferBackend, TerminalBackend
from hwmodel.block import BlockBacking, RamDisk
from hwmodel.board import find_board as find_machine
from hwmodel.cpu.program import Crash
from hwmodel.network import NoPeer, Peer
from hwmodel.rtc import real_time_clock
from hwmodel.virtio import virtio_blk, virtio_net, virtio_rng
from hwmodel.wiring import DeviceFactory

FAILED, USAGE = 1, 2
SYSTEM = "os"
WITHOUT_STACK = {"network": "absent.elf", "web": "absent.elf"}
"""Programs in place of those that need lwIP."""
MIRRORED: Final = "mirrored"
"""What is in this directory beside the system's description is laid over it for a shell on a mirror."""
ON: Final = "on_"
"""So begins the name of the directory with what is laid over it for another board."""
SLICE_US: Final = 2_000
END_KEY: Final = b"\x04"
ERASE_KEY: Final = b"\x15"
END_EVERY: Final = 20
"""Slices between two end keys."""
TICKS_PER_SECOND: Final = 10_000_000
MAX_SEED: Final = (1 << 62) - 1
"""A time that the clock can show, for a century to come."""
MAX_PORT: Final = 65535
PATIENCE: Final = TICKS_PER_SECOND
"""Until a line of a script is typed that nobody has asked for."""
BUFFER: Final = 4096
PROGRAM_PREFIX: Final = "capkernel_pd_"
"""Before a domain's name in that of its program (``runtime.programs``)."""
OFTEN: Final = 3
"""So often a program comes to grief by no accident."""
_STATUS: Final = Struct("<2Q")
"""What the shell's program says: ``ENDED`` and ``ASKED``."""


def shell(
    disk: Annotated[
        Path | None,
        typer.Option(help="The disk's image, made if it is not there; without it, memory.", parser=names.file),
    ] = None,
    mirror: Annotated[
        Path | None,
        typer.Option(
            help="A second image that holds the same: either disk may fail, its driver lie.", parser=names.file
        ),
    ] = None,
    board: Annotated[str, typer.Option(help="The machine.", callback=names.need_name)] = BOARD,
    net: Annotated[
        str,
        typer.Option(
            help="user: lend the machine ports of the host; tap:NAME: a TAP device of the host; none: no cable."
        ),
    ] = "none",
    forward: Annotated[
        list[str] | None, typer.Option(help="HOST:GUEST, a port of the host's loopback for one of the machine's.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="ADDRESS:PORT where the machine may connect to; 127.0.0.1 is 10.0.2.2 inside."),
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="NAME=ADDRESS, for the machine's name server.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MAX_SEED,
            help="Decides entropy, and the clock: nanoseconds since 1970. Else they are the host's.",
        ),
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(
            help="Lines to type, in place of the terminal; - for the standard input.", parser=names.file
        ),
    ] = None,
) -> None:
    """Boot the whole system, and give a prompt."""
    is_plain = script is not None or not sys.stdin.isatty()
    source = _source(script, is_plain=is_plain)
    if board not in boards():
        _refuse(f"--board {board!r}: this system runs on {' and '.join(boards())}")
    peer = _peer(net, forward or [], allow or [], name or [])
    terminal = _terminal(source, is_plain=is_plain)
    system = _booted(_disks(disk, mirror, seed), peer, terminal, seed, is_plain=is_plain, board=board)
    trace = Trace(system.loop)
    with _raw_terminal(source.fd, is_plain):
        left = _run(system, source, is_plain=is_plain)
    if isinstance(terminal, PlainTerminal):
        terminal.finish()
    sys.stdout.flush()
    for domain, fault in system.faults:
        print(f"{domain} stopped: {fault}", file=sys.stderr)
    for crash in system.crashes if system.faults else []:
        print(crash.report, file=sys.stderr)
    for line in restless(system.crashes):
        print(line, file=sys.stderr)
    system.cpu.close()
    print(
        f"-- {system.machine.now() / TICKS_PER_SECOND:.3f} s of virtual time, trace {trace.hash()[:16]}",
        file=sys.stderr,
    )
    problem = source.problem if isinstance(source, Script) else ""
    if problem:
        print(f"shell: {problem}", file=sys.stderr)
    raise typer.Exit(0 if left and not system.faults and not problem else FAILED)


class Script(SerialInput):
    """Lines from a file or a pipe. Each is typed when the shell asks for it: what is typed ahead goes with a console
    that dies. One that is not asked for is typed after a while, for what runs in front may want it. Behind the last one
    the end key is typed again and again, until the shell sees it. A line that is longer than a terminal takes is erased
    and ends the script; ``problem`` says so.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._read_ahead = b""
        self._is_at_start = True
        self._is_wanted = True
        self._asked = 0
        self._typed_at = self._now = 0
        self._polls = 0
        self._lines = self._length = 0
        self.problem = ""

    def ask(self, asked: int, now: int) -> None:
        """``asked`` is another number for each line that the shell waits for; ``now`` in ticks of the machine."""
        if asked != self._asked or now - self._typed_at > PATIENCE:
            self._is_wanted = True
        self._asked, self._now = asked, now

    def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes of the line that is wanted."""
        if limit <= 0 or not self._is_wanted:
            return b""
        if not self._read_ahead:
            self._read_ahead = super().read(BUFFER)
            if self.ended and not self._is_at_start:
                # Who wrote the last line forgot to end it.
                self._read_ahead = b"\n"
        if not self._read_ahead and self.ended:
            self._polls += 1
            return END_KEY if self._polls % END_EVERY == 1 else b""
        line, newline, _ = self._read_ahead[:limit].partition(b"\n")
        typed = line + newline
        self._length += len(line)
        if self._length > MAX_LINE:
            self.problem = (
                f"line {self._lines + 1} of the script has more than the {MAX_LINE} bytes that a terminal takes; "
                "neither it nor what follows was typed"
            )
            self.ended, self._is_at_start, self._read_ahead = True, True, b""
            return ERASE_KEY
        self._read_ahead = self._read_ahead[len(typed) :]
        if newline:
            self._lines, self._length = self._lines + 1, 0
        if typed:
            self._is_at_start = bool(newline)
        if newline:
            self._is_wanted, self._typed_at = False, self._now
        return typed


def _source(script: Path | None, *, is_plain: bool) -> SerialInput:
    kind = Script if is_plain else SerialInput
    try:
        is_file = script is not None and str(script) != "-"
        return kind(os.open(script, os.O_RDONLY) if is_file and script else sys.stdin.fileno())
    except OSError as error:
        _refuse(f"the script cannot be read: {script}: {error.strerror}")


def _disks(disk: Path | None, mirror: Path | None, seed: int | None) -> BlockBacking | Mirrored:
    try:
        if disk is None:
            if mirror is not None:
                _refuse("--mirror is the second half of a mirror: name the first one with --disk")
            return RamDisk(NEW_DISK)
        return one_disk(disk) if mirror is None else two_disks((disk, mirror), seed)
    except DiskError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"the disk's image cannot be used: {error.filename}: {error.strerror}")


def _peer(net: str, forwards: list[str], allowed: list[str], names: list[str]) -> Peer:
    if net not in ("none", "user") and not is_tap(net):
        _refuse(f"--net is user, tap:NAME or none, not {net!r}")
    if net != "user":
        given = [o for o, said in (("--forward", forwards), ("--allow", allowed), ("--name", names)) if said]
        if given:
            _refuse(f"{' and '.join(given)}: what the machine is lent of the host's network; give --net user, too")
        try:
            return NoPeer() if net == "none" else tap(net)
        except ValueError as error:
            _refuse(f"--net {net!r}: {error}")
    try:
        return HostNet(
            forwards=[_ports(text) for text in forwards], allowed=[_address(text) for text in allowed],
            names=dict(_named(text) for text in names),
        )  # fmt: skip
    except (OSError, ValueError) as error:
        _refuse(f"the network cannot be made: {error}")


def _ports(text: str) -> tuple[int, int]:
    host, _, guest = text.partition(":")
    if not _is_number(host) or not _is_number(guest):
        raise ValueError(f"--forward {text!r} is not HOST:GUEST, two ports")
    return _port(host, text), _port(guest, text)


def _address(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    if not address or not _is_number(port):
        raise ValueError(f"--allow {text!r} is not ADDRESS:PORT")
    return str(IPv4Address(address)), _port(port, text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _port(digits: str, text: str) -> int:
    if len(digits) > len(str(MAX_PORT)) or not 0 < int(digits) <= MAX_PORT:
        raise ValueError(f"{text!r}: a port is 1 to {MAX_PORT}")
    return int(digits)


def _named(text: str) -> tuple[str, str]:
    name, _, address = text.partition("=")
    if not name or not address:
        raise ValueError(f"--name {text!r} is not NAME=ADDRESS")
    return name, str(IPv4Address(address))


def _terminal(source: SerialInput, *, is_plain: bool) -> TerminalBackend:
    """What a script gives to a file or a pipe is lines; who types sees each key at once."""
    kind = PlainTerminal if is_plain and not sys.stdout.isatty() else TerminalBackend
    return kind(sys.stdout.buffer, source)


def _booted(
    disk: BlockBacking | Mirrored, peer: Peer, terminal: Backend, seed: int | None, *, is_plain: bool, board: str
) -> DescribedSystem:  # fmt: skip
    """The system, with a network if its server can run here."""
    programs = {"shell": "shell_plain.elf"} if is_plain else {}
    now_ns = time.time_ns() if seed is None else seed
    try:
        return build(disk, peer, terminal, programs, now_ns, board=board)
    except DescriptionError as error:
        reasons = "\n".join(map(str, error.diagnostics))
        print(f"capkernel shell: without the network, since\n{reasons}", file=sys.stderr)
    try:
        return build(disk, peer, terminal, programs | WITHOUT_STACK, now_ns, board=board)
    except DescriptionError as error:
        _refuse("\n".join(map(str, error.diagnostics)), FAILED)


def boards() -> list[str]:
    """The boards on which the system runs."""
    directories = find_system(SYSTEM).parent.glob(f"{ON}*")
    return [BOARD, *sorted(each.name.removeprefix(ON) for each in directories)]


def build(
    disk: BlockBacking | Mirrored, peer: Peer, terminal: Backend, programs: Mapping[str, str], now_ns: int,
    *, board: str = BOARD,
) -> DescribedSystem:  # fmt: skip
    """The system, not yet started; ``programs`` take the place of its own, by the domain's name.

    ``now_ns`` is what its clock shows, in nanoseconds since 1970, and decides what its entropy device gives. Raises
    DescriptionError.
    """
    path = find_system(SYSTEM)
    devices = {"virtio1": virtio_net(peer), "virtio2": virtio_rng(seed=now_ns), "rtc0": real_time_clock(now_ns)}
    if isinstance(disk, Mirrored):
        devices |= {"virtio0": virtio_blk(disk.first), "virtio7": virtio_blk(disk.second)}
    else:
        devices["virtio0"] = virtio_blk(disk)
    overlays = [MIRRORED] * isinstance(disk, Mirrored)
    if board != BOARD:
        overlays += [f"{ON}{board}", *(f"{each}_{ON}{board}" for each in overlays)]
    with TemporaryDirectory() as name:
        place, laid = Path(name), path
        for overlay in overlays:
            laid = lay_over(laid, path.parent / overlay, place)
        if isinstance(disk, Mirrored):
            known = f'identity = "{disk.identity.hex()}"\nchance = "{disk.chance.hex()}"\n'
            (place / "mirror_name.toml").write_text(known, encoding="utf-8")
        return _described(laid, [place, path.parent], board, terminal, programs, devices)


def _described(
    path: Path, places: list[Path], on: str, terminal: Backend, programs: Mapping[str, str],
    devices: Mapping[str, DeviceFactory],
) -> DescribedSystem:  # fmt: skip
    board = find_board(on)
    system = load(path, search_path=places, board=board)
    return DescribedSystem(
        with_programs(system, programs), find_machine(board.name), places,
        extensions=load_extensions(path, system), uart=terminal, console=BufferBackend(), devices=devices,
    )  # fmt: skip


def _run(system: DescribedSystem, source: SerialInput, *, is_plain: bool) -> bool:
    """Run until the shell is left (true), or nothing can happen any more."""
    started = time.monotonic()
    while not system.faults:
        if system.run(time_us=SLICE_US) != "time":
            return False
        if not system.ready:
            started = time.monotonic() - system.machine.now() / TICKS_PER_SECOND
            continue
        is_left, asked = status(system)
        if is_left:
            return True
        if isinstance(source, Script):
            source.ask(asked, system.machine.now())
        if not is_plain:
            ahead = system.machine.now() / TICKS_PER_SECOND - (time.monotonic() - started)
            if ahead > 0:
                select.select([source.fd], [], [], ahead)
            else:
                # The host is too slow for the machine's time: it goes on from here.
                started += -ahead
        system.machine.poll_input()
    return False


def status(system: DescribedSystem) -> tuple[int, int]:
    """Whether the shell was left, and for which line it waits. Between two of its lives there is nobody to ask."""
    try:
        is_left, asked = _STATUS.unpack_from(system.read_region("shell_status"))
    except KeyError:
        return 0, 0
    return is_left, asked


@contextmanager
def _raw_terminal(fd: int, is_plain: bool) -> Iterator[None]:
    """Give the machine every key as it is typed."""
    if is_plain:
        yield
        return
    kept = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        # The machine's console ends its lines as terminals want it.
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, kept)


def restless(crashes: Sequence[Crash]) -> list[str]:
    """What to say of programs that came to grief again and again, such as a file server with a disk that is damaged."""
    last = {crash.program: crash.report.splitlines()[-1] for crash in crashes}
    times = Counter(crash.program for crash in crashes)
    return [
        f"{name.removeprefix(PROGRAM_PREFIX)} came to grief {times[name]} times, at last: {last[name]}"
        for name in last
        if times[name] >= OFTEN
    ]


def _refuse(message: str, status: int = USAGE) -> NoReturn:
    print(f"capkernel shell: {message}", file=sys.stderr)
    raise typer.Exit(status)
