"""`capkernel shell` refuses what it cannot use, before it boots anything, and leaves it as it is."""

import os
import re
import subprocess
import sys
from fcntl import LOCK_EX, flock
from io import BytesIO
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from capkernel.protocols.console import MAX_LINE
from capkernel.tools.plain import PlainTerminal
from capkernel.tools.plugs import PlugError, plugged
from capkernel.tools.shell import FAILED, USAGE, Script, restless, shell
from capkernel.tools.shell_disks import SMALLEST_DISK
from hwmodel import network
from hwmodel.board import VIRT_IOMMU
from hwmodel.cpu.program import Crash

app = typer.Typer()
app.command()(shell)


def refusal(*options: str) -> str:
    """What it says to these options, for which it must not start."""
    result = CliRunner().invoke(app, ["--script", os.devnull, *options])
    assert result.exit_code == USAGE, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "at least"), (b"\0" * (SMALLEST_DISK - 1), "at least"),
        (b"\0" * (SMALLEST_DISK + 1), f"whole sectors of 512 bytes, one at least; the file has {SMALLEST_DISK + 1}"),
        (b"\xff" * SMALLEST_DISK, "neither empty nor a littlefs"), (b"\xebFAT " * SMALLEST_DISK, "neither empty"),
    ],
)  # fmt: skip
def test_an_image_that_is_no_disk_of_ours_is_left_as_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    assert reason in refusal("--disk", str(image))
    assert image.read_bytes() == content


@pytest.mark.parametrize("option", ["--disk", "--mirror", "--board", "--script"])
def test_a_name_that_is_empty_is_told_so(option: str) -> None:
    said = refusal(option, "")
    assert f"'{option}'" in said
    assert "the name is empty" in said
    assert "directory" not in said


@pytest.mark.parametrize("option", ["--disk", "--mirror", "--script"])
def test_a_directory_is_no_file(option: str) -> None:
    assert "is a directory" in refusal(option, "/")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--forward", f"{'9' * 5000}:80"), "a port is 1 to 65535"), (("--forward", "٣:80"), "is not HOST:GUEST"),
        (("--forward", "80:80:80"), "is not HOST:GUEST"), (("--allow", ":80"), "is not ADDRESS:PORT"),
        (("--allow", f"1.2.3.4:{'9' * 5000}"), "a port is 1 to 65535"),
        (("--allow", "1.2.3.4:٣"), "is not ADDRESS:PORT"),
    ],
)  # fmt: skip
def test_a_port_is_a_number_that_a_port_can_have(options: tuple[str, str], reason: str) -> None:
    assert reason in refusal("--net", "user", *options)


def test_what_is_no_file_or_cannot_be_one_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: it is no file" in refusal("--disk", str(tmp_path / "pipe"))
    assert "it is no file" in refusal("--disk", "/dev/zero")
    assert "File name too long" in refusal("--disk", "x" * 5000)
    assert "Errno" not in refusal("--disk", "x" * 5000)


def test_two_machines_do_not_write_one_disk(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(SMALLEST_DISK))
    with image.open("r+b") as other:
        flock(other, LOCK_EX)
        assert "another machine runs with it" in refusal("--disk", str(image))


@pytest.mark.parametrize(
    "options",
    [
        ("--disk", os.devnull), ("--disk", "/nowhere/disk.img"), ("--script", "/nowhere"), ("--script", "/"),
        ("--net", "bogus"), ("--net", ""), ("--net", "tap"), ("--net", "tap:"), ("--net", "tap:" + 16 * "x"),
        ("--net", "user", "--forward", "8080"), ("--net", "user", "--forward", "99999:80"),
        ("--net", "user", "--forward", "8080:99999"), ("--net", "user", "--forward", "0:80"),
        ("--net", "user", "--allow", "somewhere:80"), ("--net", "user", "--allow", "127.0.0.1:99999"),
        ("--net", "user", "--name", "x=y"), ("--seed", str(1 << 64)),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: tuple[str, ...]) -> None:
    assert refusal(*options)


@pytest.mark.parametrize("option", [("--forward", "8080:80"), ("--allow", "127.0.0.1:7"), ("--name", "x=127.0.0.1")])
@pytest.mark.parametrize("net", [(), ("--net", "none"), ("--net", "tap:tap0")])
def test_what_is_lent_of_a_network_needs_one(option: tuple[str, str], net: tuple[str, ...]) -> None:
    assert f"{option[0]}: what the machine is lent of the host's network; give --net user" in refusal(*net, *option)


def test_a_tap_device_that_the_host_does_not_give_is_refused_as_run_refuses_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(network, "_TUN_DEVICE", str(tmp_path / "tun"))
    reasons = [f"cannot open {tmp_path / 'tun'}: No such file or directory; it needs CAP_NET_ADMIN"]
    said = [refusal("--net", "tap:tap0")]
    with pytest.raises(PlugError, match=re.escape(reasons[0])):
        plugged(["virtio1=net:tap:tap0"], VIRT_IOMMU)
    (tmp_path / "tun").write_bytes(b"")
    reasons.append("the host refuses TAP device 'tap0': ")
    said.append(refusal("--net", "tap:tap0"))
    for reason, each in zip(reasons, said, strict=True):
        assert f"capkernel shell: --net 'tap:tap0': {reason}" in each


def test_what_else_makes_no_sense_is_said_before_a_tap_device_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_TUN_DEVICE", "/nowhere/tun")
    assert "runs on" in refusal("--board", "toaster", "--net", "tap:tap0")


@pytest.mark.parametrize("size", [0, 100, 513])
def test_an_image_that_is_too_small_says_what_would_be_right(tmp_path: Path, size: int) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(size))
    said = refusal("--disk", str(image))
    assert f"it has {size} bytes" in said
    assert "name a file that is not there, and one of 16 MiB is made" in said


def plain(data: bytes) -> bytes:
    sink = BytesIO()
    terminal = PlainTerminal(sink)
    for code in data:
        terminal.write(code)
    terminal.finish()
    return sink.getvalue()


@pytest.mark.parametrize(
    ("shown", "stays"),
    [
        (b"/> \r\x1b[Kcling: works\n/> ls\n", b"cling: works\n/> ls\n"),
        (b"/> \r\x1b[K\r\x1b[K/> exit\r\n", b"/> exit\n"),
        (b"a\rb\n\n", b"a\rb\n\n"),
        (b"/> ", b"/> \n"),
        (b"", b""),
    ],
)
def test_a_file_gets_the_lines_that_stay_on_a_terminal(shown: bytes, stays: bytes) -> None:
    assert plain(shown) == stays


@given(st.lists(st.binary(max_size=9).filter(lambda line: not set(line) & set(b"\r\n\x1b"))))
def test_lines_without_anything_to_erase_are_what_they_are(lines: list[bytes]) -> None:
    text = b"".join(line + b"\n" for line in lines)
    assert plain(text) == text


def test_who_comes_to_grief_again_and_again_is_named_with_the_reason() -> None:
    files = [Crash("capkernel_pd_files", 0, f"Traceback\nCorrupt: life {life}") for life in range(4)]
    assert restless([*files, Crash("hello", 0, "Traceback\nValueError")]) == [
        "files came to grief 4 times, at last: Corrupt: life 3"
    ]
    assert restless([]) == []


def typed(script: bytes, place: Path) -> tuple[bytes, str]:
    """What is typed of a script if every line is asked for, up to the first end key; and what is wrong with it."""
    place.write_bytes(script)
    fd = os.open(place, os.O_RDONLY)
    source, keys = Script(fd), b""
    for asked in range(1, 10_000):
        source.ask(asked, 0)
        keys += source.read(16)
        if keys.endswith(b"\x04"):
            break
    os.close(fd)
    return keys.removesuffix(b"\x04"), source.problem


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_as_long_as_a_terminal_takes_is_typed_and_a_longer_one_ends_the_script(
    tmp_path: Path, end: bytes
) -> None:
    longest = b"x" * MAX_LINE
    assert typed(b"ls\n" + longest + end, tmp_path / "script") == (b"ls\n" + longest + b"\n", "")
    keys, problem = typed(b"ls\n" + longest + b"x" + end + b"rm all\n", tmp_path / "script")
    assert (keys[:3], keys[-1:]) == (b"ls\n", b"\x15"), "what was typed of it is erased"
    assert b"rm" not in keys
    assert f"line 2 of the script has more than the {MAX_LINE} bytes" in problem


def test_a_script_with_too_long_a_line_is_a_failure(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"write a {'x' * 900}\nls\n")
    command = [sys.executable, "-m", "capkernel", "shell", "--script", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == FAILED
    assert "shell: line 1 of the script has more than" in done.stderr
    assert "NotFound" not in done.stdout
    assert " a\n" not in done.stdout
