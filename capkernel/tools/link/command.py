"""``capkernel link``: one machine with a gateway in this process, joined to others by TLS.

``capkernel link DIR --new a --new b --new c`` makes keys, certificates and settings for machines, a folder for each.
Then each runs in a process of its own:

    capkernel link DIR/c --listen 127.0.0.1:7003 --user lender
    capkernel link DIR/b --listen 127.0.0.1:7002 --connect 127.0.0.1:7003
    capkernel link DIR/a --connect 127.0.0.1:7002 --connect 127.0.0.1:7003 --user traveller

A machine's time goes no faster than the host's. Lines on standard input: ``order N`` puts a number where the user's
program sees it, ``report`` prints what that reports, ``quit`` (or the end of input) ends. Exit status: 0, or 1 if a
program stopped for good, 2 wrong usage.
"""

import os
import re
import select
import struct
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from capkernel.system.diagnostics import DescriptionError
from capkernel.tools.demo.remote.keys import MOST_MACHINES, SECRET, SECRET_BYTES, SETTINGS, Offered, Plan
from capkernel.tools.demo.remote.machines import OFFERS, SYSTEM
from capkernel.tools.demo.stage import Stage
from capkernel.tools.link.carrier import Address, TlsPeer
from capkernel.tools.link.certificates import OTHERS, OWN, write_certificates
from capkernel.tools.link.certificates import SECRET as TLS_SECRET
from hwmodel.rtc import real_time_clock
from hwmodel.virtio import virtio_net, virtio_rng

FAILED, USAGE = 1, 2
SLICE_US: Final = 1_000
REPORT_WORDS: Final = 16
ADDRESS: Final = "card"
"""The file in a machine's folder that says the address of its card."""
FILES: Final = (SETTINGS, SECRET, ADDRESS, OWN, TLS_SECRET, OTHERS)
"""What is in a machine's folder."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
USERS: Final = ("remote_idler", "lender", "borrowing", "traveller", "remote_measured")
"""The programs for a machine's user that are installed with this."""


def link(
    folder: Annotated[Path, typer.Argument(help="The machine's folder; with --new, where folders are made.")],
    new: Annotated[list[str] | None, typer.Option(help="Make keys and settings for a machine of this name.")] = None,
    user: Annotated[
        str, typer.Option(help=f"The program of the machine's user: {', '.join(USERS)}, or your own.")
    ] = "remote_idler",
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen at; port 0 is any that is free.")] = "",
    connect: Annotated[list[str] | None, typer.Option(help="HOST:PORT of another machine.")] = None,
    seconds: Annotated[float, typer.Option(help="End after so long.")] = 3600,
) -> None:
    """Run a machine with a gateway, joined to others by TLS; or make the keys for it."""
    if new:
        _make(folder, new)
        return
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        _refuse(
            f"{folder} is no machine's folder, for it has no {', '.join(missing)}; "
            f"`capkernel link {folder} --new NAME --new NAME` makes folders in it"
        )
    if not (folder / OTHERS).read_bytes().strip():
        _refuse(
            f"{folder} knows no other machine: {folder / OTHERS} is empty; {_TOGETHER}, as in "
            f"`capkernel link NEWDIR --new {folder.resolve().name} --new NAME`"
        )
    if find_spec("biscuit_auth") is None:
        _refuse("there is no biscuit-python; pip install 'capkernel[remote]'")
    listener = _address(listen) if listen else None
    try:
        peer = TlsPeer(folder, listener, [_address(each) for each in connect or []])
    except OSError as error:
        _refuse(f"cannot begin: {error}")
    try:
        stage = _stage(folder, user, peer)
    except DescriptionError as error:
        peer.close()
        reasons = "; ".join(each.message for each in error.diagnostics)
        _refuse(
            f"cannot begin with --user {user}: {reasons}; --user takes {', '.join(USERS)}, "
            f"another installed program, or NAME if there is {folder}/NAME.py"
        )
    if peer.address is not None:
        print(f"listening at {peer.address[0]}:{peer.address[1]}", flush=True)
    try:
        _run(stage, peer, seconds)
    finally:
        peer.close()
        stage.close()
    if stage.system.faults:
        raise typer.Exit(FAILED)


def _stage(folder: Path, user: str, peer: TlsPeer) -> Stage:
    """The machine of a folder. Raises DescriptionError."""
    return Stage(
        SYSTEM, variant=str(folder.resolve()), programs={"user": f"{user}.elf"},
        devices={
            "virtio1": virtio_net(peer, mac=bytes.fromhex((folder / ADDRESS).read_text())),
            "virtio2": virtio_rng(int.from_bytes(os.urandom(7), "little")), "rtc0": real_time_clock(time.time_ns()),
        },
    )  # fmt: skip


def _run(stage: Stage, peer: TlsPeer, seconds: float) -> None:
    stage.booted.boot()
    print("running", flush=True)
    system = stage.system
    began, start, said = time.monotonic(), system.machine.now(), b""
    while time.monotonic() - began < seconds:
        system.run(time_us=SLICE_US)
        system.machine.poll_input()
        ahead = (system.machine.now() - start) / 10_000_000 - (time.monotonic() - began)
        readable, _, _ = select.select([sys.stdin, *peer.sockets], [], [], max(0.0, ahead))
        if sys.stdin in readable:
            data = os.read(sys.stdin.fileno(), 4096)
            *lines, said = (said + data).split(b"\n")
            if not data or not all(_do(stage, line.decode(errors="replace").split()) for line in lines):
                return


def _do(stage: Stage, words: list[str]) -> bool:
    """Do what a line says; false if it is the end."""
    match words:
        case ["order", number] if number.isdecimal():
            stage.write_words("orders", int(number))
        case ["report"]:
            print("report", *struct.unpack_from(f"<{REPORT_WORDS}Q", stage.system.read_region("report")), flush=True)
        case ["quit"]:
            return False
        case _:
            print("there are: order N, report, quit", flush=True)
    return True


def _make(folder: Path, names: list[str]) -> None:
    """Folders for machines that know each other: all of them, or none."""
    _check_names(folder, names)
    plan = Plan({name: os.urandom(SECRET_BYTES) for name in names}, _offers(names))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as place:
            made = {name: Path(place) / name for name in names}
            for name in names:
                plan.write(name, made[name])
                (made[name] / ADDRESS).write_text(plan.address(name).hex() + "\n")
            write_certificates(made)
            with ExitStack() as undo:
                for name in names:
                    made[name].rename(folder / name)
                    undo.callback((folder / name).rename, made[name])
                undo.pop_all()
    except OSError as error:
        _refuse(f"cannot make folders in {folder}: {error}; none was made")
    print(f"made {', '.join(str(folder / name) for name in names)}; the files *.key are secret")


_TOGETHER: Final = "machines know those with which they were made, so name all in one command"


def _check_names(folder: Path, names: list[str]) -> None:
    if len(names) > MOST_MACHINES:
        _refuse(f"--new is there {len(names)} times; at most {MOST_MACHINES} machines know each other")
    for name in names:
        if not NAME.fullmatch(name):
            _refuse(
                f"--new {name}: this is no name for a machine, whose folder is made in {folder}; right are up to 32 "
                "letters, digits, - and _ that begin with a letter or digit"
            )
        if names.count(name) > 1:
            _refuse(f"--new {name} is there {names.count(name)} times; each machine has a name of its own")
        if os.path.lexists(folder / name):
            _refuse(
                f"--new {name}: {folder / name} is there already, and its keys are not replaced; "
                "take another name or folder, or delete it first"
            )
    if len(names) == 1:
        _refuse(f"--new {names[0]} alone: it could speak to nobody; {_TOGETHER}: --new {names[0]} --new NAME")


def _offers(names: list[str]) -> tuple[Offered, ...]:
    """Those of the demonstration, as far as these machines are there."""
    return tuple(each for each in OFFERS if each.machine in names and each.to in names)


def _address(text: str) -> Address:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        _refuse(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _refuse(reason: str) -> NoReturn:
    print(f"capkernel link: {reason}", file=sys.stderr)
    raise typer.Exit(USAGE)
