"""Real processes, joined by TLS on loopback: the same machines, the same story; and strangers who get nowhere."""

import os
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("biscuit_auth", reason="NOT RUN: there is no biscuit-python (pip install 'capkernel[remote]')")

from capkernel.tools.link.carrier import TlsPeer
from capkernel.tools.link.certificates import write_certificates
from capkernel.tools.link.command import USERS, link

PATIENCE = 60.0
CAPKERNEL = [sys.executable, "-c", "from capkernel.cli import main; main()", "link"]
MADE, COPIED, DONE, AFTER, WITHDRAW = 3, 2, 0, 9, 1
CREATE, LOOKUP = 2, 5
"""Orders to the borrower."""


class Process:
    """A machine in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*CAPKERNEL, str(folder), *options, "--seconds", str(PATIENCE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.text = b""

    def line(self) -> str:
        """The next line that it prints."""
        output = self.process.stdout
        assert output is not None
        end = time.monotonic() + PATIENCE
        while b"\n" not in self.text:
            assert select.select([output], [], [], max(0.0, end - time.monotonic()))[0], "it says nothing"
            data = os.read(output.fileno(), 4096)
            assert data, "it ended"
            self.text += data
        line, _, self.text = self.text.partition(b"\n")
        return line.decode()

    def say(self, line: str) -> None:
        """Type something."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def report(self) -> list[int]:
        """What its user's program reports."""
        self.say("report")
        return [int(word) for word in self.line().split()[1:]]

    def does(self, number: int, kind: int) -> bool:
        """Have an order carried out; whether that worked."""
        order = number << 8 | kind
        self.say(f"order {order}")
        return self.until(DONE, order)[1] == 1

    def until(self, place: int, least: int) -> list[int]:
        """Wait until a word of the report is so much."""
        end = time.monotonic() + PATIENCE
        while (words := self.report())[place] < least:
            assert time.monotonic() < end, words
            time.sleep(0.05)
        return words


@contextmanager
def started(folder: Path, *options: str) -> Iterator[Process]:
    machine = Process(folder, *options)
    try:
        yield machine
    finally:
        machine.process.kill()
        machine.process.communicate()


@pytest.mark.slow
def test_two_processes_lend_each_other_caps_and_take_them_back(tmp_path: Path) -> None:
    subprocess.run([*CAPKERNEL, str(tmp_path), "--new", "a", "--new", "c"], check=True, timeout=PATIENCE)
    with ExitStack() as stack:
        owner = stack.enter_context(started(tmp_path / "c", "--user", "lender", "--listen", "127.0.0.1:0"))
        at_c = owner.line().split()[-1]
        user = stack.enter_context(started(tmp_path / "a", "--user", "borrowing", "--connect", at_c))
        assert [owner.line(), user.line()] == ["running", "running"]
        number = 0
        while not user.does(number := number + 1, LOOKUP):
            assert number < 100, "they do not find each other"
        assert user.does(number + 1, CREATE)
        owner.say(f"order {WITHDRAW}")
        assert owner.until(DONE, WITHDRAW)[2:4] == [1, 0]
        assert not user.does(number + 2, CREATE)
        assert not user.does(number + 3, LOOKUP)


@pytest.mark.campaign
def test_three_processes_lend_each_other_what_three_simulated_machines_do(tmp_path: Path) -> None:
    subprocess.run([*CAPKERNEL, str(tmp_path), "--new", "a", "--new", "b", "--new", "c"], check=True, timeout=PATIENCE)
    with ExitStack() as stack:
        owner = stack.enter_context(started(tmp_path / "c", "--user", "lender", "--listen", "127.0.0.1:0"))
        at_c = owner.line().split()[-1]
        helper = stack.enter_context(started(tmp_path / "b", "--listen", "127.0.0.1:0", "--connect", at_c))
        at_b = helper.line().split()[-1]
        user = stack.enter_context(started(tmp_path / "a", "--user", "traveller", "--connect", at_b, "--connect", at_c))
        for machine in (owner, helper, user):
            assert machine.line() == "running"
        assert user.until(COPIED, 1)[COPIED] == 900
        user.until(MADE, 2)
        owner.say(f"order {WITHDRAW}")
        assert owner.until(DONE, WITHDRAW)[2:4] == [2, 0]
        assert user.until(DONE, 1)[AFTER] == 0


def folders(path: Path, *names: str) -> dict[str, Path]:
    made = {name: path / name for name in names}
    for folder in made.values():
        folder.mkdir(parents=True)
    write_certificates(made)
    return made


def carry(one: TlsPeer, other: TlsPeer, frame: bytes) -> list[bytes]:
    """What arrives at one of two when the other sends a frame again and again, until something does."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        one.send(frame)
        if found := other.receive(64):
            return found
        one.receive(64)
    return []


FRAME = bytes(6) + b"sender" + b"\x88\xb6" + bytes(50)


def test_frames_go_through_tls_between_those_who_know_each_other(tmp_path: Path) -> None:
    known = folders(tmp_path, "a", "c")
    server = TlsPeer(known["c"], ("127.0.0.1", 0), [])
    assert server.address is not None
    client = TlsPeer(known["a"], None, [server.address])
    assert carry(client, server, FRAME)[0] == FRAME
    assert carry(server, client, b"sender" + FRAME[6:])[0][:6] == b"sender"
    client.close()
    server.close()


def test_a_machine_that_is_not_known_gets_no_connection(tmp_path: Path) -> None:
    known, strangers = folders(tmp_path / "known", "a", "c"), folders(tmp_path / "strange", "a", "c")
    server = TlsPeer(known["c"], ("127.0.0.1", 0), [])
    assert server.address is not None
    stranger = TlsPeer(strangers["a"], None, [server.address])
    for _ in range(100):
        stranger.send(FRAME)
        assert not server.receive(64)
        stranger.receive(64)
        time.sleep(0.002)
    assert not any(each.is_open for each in server.connections)
    stranger.close()
    server.close()


def test_without_a_certificate_or_with_an_older_tls_nobody_is_heard(tmp_path: Path) -> None:
    known = folders(tmp_path, "a", "c")
    server = TlsPeer(known["c"], ("127.0.0.1", 0), [])
    assert server.address is not None
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = version
        plain = socket.create_connection(server.address, timeout=2)
        plain.setblocking(False)
        client = context.wrap_socket(plain, do_handshake_on_connect=False)
        for _ in range(50):
            try:
                client.do_handshake()
                client.send(len(FRAME).to_bytes(2, "big") + FRAME)
            except (ssl.SSLError, OSError):
                pass
            assert not server.receive(64)
            time.sleep(0.002)
        client.close()
    server.close()


def test_what_is_no_folder_of_a_machine_is_refused_with_what_makes_one(tmp_path: Path) -> None:
    found = subprocess.run([*CAPKERNEL, str(tmp_path)], capture_output=True, timeout=PATIENCE, check=False)
    assert found.returncode == 2
    assert b"--new NAME" in found.stderr


def refused(*arguments: str) -> str:
    """What is said about a wrong command."""
    found = subprocess.run(
        [*CAPKERNEL, *arguments], capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
    )
    assert (found.returncode, found.stdout) == (2, b"")
    assert found.stderr.startswith(b"capkernel link: ")
    assert found.stderr.count(b"\n") == 1
    return found.stderr.decode()


def contents(path: Path) -> dict[Path, bytes]:
    """All that is in a folder."""
    return {each: each.read_bytes() if each.is_file() else b"" for each in path.rglob("*")}


def made(path: Path, *names: str) -> None:
    options = [word for name in names for word in ("--new", name)]
    subprocess.run([*CAPKERNEL, str(path), *options], check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)


def test_the_keys_of_a_machine_that_is_there_are_not_replaced(tmp_path: Path) -> None:
    made(tmp_path, "a", "b")
    before = contents(tmp_path)
    said = refused(str(tmp_path), "--new", "c", "--new", "a")
    assert f"{tmp_path / 'a'} is there already, and its keys are not replaced" in said
    assert contents(tmp_path) == before, "something was half done"
    assert {each.name for each in tmp_path.iterdir()} == {"a", "b"}


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", ".", "", "a/b", "a b", 'a"', "-a", "a\n", "x" * 33])
def test_what_is_no_name_makes_nothing_anywhere(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "machines"
    said = CliRunner().invoke(_app(), [str(folder), "--new", "b", f"--new={name}"])
    assert said.exit_code == 2
    assert f"--new {name}: this is no name for a machine" in said.stderr
    assert str(folder) in said.stderr
    assert "letters, digits" in said.stderr
    assert not contents(tmp_path)


def test_two_machines_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "--new a is there 2 times" in refused(str(tmp_path), "--new", "a", "--new", "b", "--new", "a")
    assert not contents(tmp_path)


def test_more_machines_than_have_addresses_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    names = [word for number in range(256) for word in ("--new", f"m{number}")]
    assert "at most 255 machines" in refused(str(tmp_path / "new"), *names)
    assert not (tmp_path / "new").exists()


def test_a_machine_alone_is_refused_when_it_is_made_and_when_it_is_run(tmp_path: Path) -> None:
    said = refused(str(tmp_path), "--new", "a")
    assert "it could speak to nobody" in said
    assert "--new a --new NAME" in said
    assert not contents(tmp_path)
    made(tmp_path, "a", "b")
    (tmp_path / "a" / "others.crt").write_bytes(b"")
    said = refused(str(tmp_path / "a"))
    assert f"{tmp_path / 'a'} knows no other machine" in said
    assert "--new a --new NAME" in said


def test_a_user_s_program_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    made(tmp_path, "a", "b")
    said = refused(str(tmp_path / "a"), "--user", "nobody", "--listen", "127.0.0.1:0")
    assert "--user nobody: user: its program nobody.elf" in said
    assert f"--user takes {', '.join(USERS)}" in said
    assert f"{tmp_path / 'a'}/NAME.py" in said


def test_the_programs_for_users_are_installed_and_described() -> None:
    installed = {point.name for point in entry_points(group="capkernel.programs")}
    text = (Path(__file__).parents[2] / "docs" / "remote.md").read_text()
    for name in USERS:
        assert name in installed
        assert f"`{name}`" in text


def test_if_folders_cannot_be_made_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "none was made" in refused(str(tmp_path / "file"), "--new", "a", "--new", "b")


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(link)
    return app


def test_secret_keys_are_for_their_owner_s_eyes(tmp_path: Path) -> None:
    for folder in folders(tmp_path, "a", "c").values():
        assert (folder / "tls.key").stat().st_mode & 0o077 == 0
