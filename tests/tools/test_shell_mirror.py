"""The shell on a mirror, two images that hold the same: what is refused, what is made, what a spoilt driver costs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from capkernel.protocols.block import SECTOR
from capkernel.protocols.mirror_label import State, label_of
from capkernel.tools.shell import USAGE, shell
from capkernel.tools.shell_disks import NEW_DISK, SMALLEST_DISK, SMALLEST_HALF, Mirrored, new_identity
from hwmodel.block import BlockBacking, RamDisk
from tests.servers.mirror_bench import MirrorBench
from tests.servers.shell_bench import Terminal

app = typer.Typer()
app.command()(shell)
SIZE = 1 << 20
LONG_ENOUGH = "sleep 400"
"""To compare all that is on images of this size."""


def played(place: Path, *lines: str, disk: str = "a", mirror: str = "b", seed: int = 1) -> str:
    """What the shell puts out for lines of a script, on a mirror of two images."""
    script = place / "script"
    script.write_text("\n".join((*lines, "")))
    images = ["--disk", str(place / disk), "--mirror", str(place / mirror)]
    command = [sys.executable, "-m", "capkernel", "shell", "--seed", str(seed), *images, "--script", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def refusal(*options: object) -> str:
    """What it says to these options, for which it must not start."""
    result = CliRunner().invoke(app, ["--script", os.devnull, *map(str, options)])
    assert result.exit_code == USAGE, result.output
    return " ".join(result.output.split())


def blank(place: Path, *names: str, size: int = SIZE) -> None:
    for name in names:
        (place / name).write_bytes(bytes(size))


def made(
    place: Path, first: str, second: str, identity: bytes = bytes(16), sectors: int = SIZE // SECTOR
) -> MirrorBench:
    """The halves of a mirror, as files; ``keep`` them again after changes."""
    bench = MirrorBench(sectors, sectors)
    opened(bench, identity)
    bench.look_on()
    keep(bench, place / first, place / second)
    return bench


def opened(bench: MirrorBench, identity: bytes) -> None:
    for copy in bench.life().copies:
        copy.identity = identity
    bench.run(bench.mirror.open())


def keep(bench: MirrorBench, *paths: Path) -> None:
    for disk, path in zip(bench.disks, paths, strict=True):
        path.write_bytes(disk.image())


@pytest.mark.slow
def test_what_was_written_is_on_each_half_and_a_half_that_is_missing_is_made_anew(tmp_path: Path) -> None:
    blank(tmp_path, "a", "b")
    played(tmp_path, "write notes kept twice")
    for lost, other in (("a", "b"), ("b", "a")):
        (tmp_path / lost).unlink()
        output = played(tmp_path, "cat notes", "mounts", LONG_ENOUGH, "mounts")
        assert "kept twice" in output
        side = label_of((tmp_path / other).read_bytes())
        assert side is not None
        assert "is behind and brought up to date" in output
        assert "the disk is a mirror: both disks are in step" in output
        assert (tmp_path / lost).stat().st_size == SIZE
        labels = [label_of((tmp_path / name).read_bytes()) for name in "ab"]
        assert {label.state for label in labels if label} == {State.BOTH}
        assert len({label.identity for label in labels if label}) == 1


@pytest.mark.slow
def test_an_older_half_is_brought_up_to_date_and_never_shown(tmp_path: Path) -> None:
    blank(tmp_path, "a", "b")
    played(tmp_path, "write notes the first", LONG_ENOUGH)
    older = (tmp_path / "a").read_bytes()
    played(tmp_path, "write notes the second", LONG_ENOUGH)
    (tmp_path / "a").write_bytes(older)
    assert "the second" in played(tmp_path, "cat notes", LONG_ENOUGH)
    (tmp_path / "b").unlink()
    assert "the second" in played(tmp_path, "cat notes")


@pytest.mark.slow
def test_halves_of_which_each_went_on_with_a_new_one_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    blank(tmp_path, "a", "b")
    played(tmp_path, "write notes of both", LONG_ENOUGH)
    played(tmp_path, "write notes of a", LONG_ENOUGH, mirror="c")
    played(tmp_path, "write notes of b", LONG_ENOUGH, disk="d")
    assert "of a" in played(tmp_path, "cat notes", LONG_ENOUGH, disk="c", mirror="a")
    assert "of b" in played(tmp_path, "cat notes", LONG_ENOUGH, disk="b", mirror="d")
    before = [(tmp_path / name).read_bytes() for name in "ab"]
    for one, other in ("ab", "ba", "cd"):
        said = refusal("--disk", tmp_path / one, "--mirror", tmp_path / other)
        assert "each disk went on without the other; both are left as they are" in said
    assert [(tmp_path / name).read_bytes() for name in "ab"] == before


@pytest.mark.slow
def test_a_run_on_a_mirror_is_the_same_again(tmp_path: Path) -> None:
    found = []
    for name in ("one", "one", "two"):
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        blank(place, "a", "b")
        output = played(place, "write notes x", "mounts", "cat notes")
        found.append((output, (place / "a").read_bytes(), (place / "b").read_bytes()))
    assert found[0] == found[1]
    assert ", trace " in found[0][0]
    assert found[2][0] == found[0][0], "elsewhere, too: nothing that happens depends on the identity"


@pytest.mark.slow
@pytest.mark.parametrize("liar", ["disk", "disk2"])
def test_with_a_spoilt_driver_the_shell_reads_what_it_has_written(liar: str) -> None:
    disk: Any = Mirrored(RamDisk(SIZE), RamDisk(SIZE), bytes(16))
    assert lost_on(disk, {liar: "lying_disk.elf"}) == []


@pytest.mark.slow
def test_without_a_mirror_the_same_driver_loses_it() -> None:
    assert lost_on(RamDisk(SIZE), {"disk": "lying_disk.elf"})


def lost_on(disk: BlockBacking, programs: dict[str, str]) -> list[str]:
    """What is not there of what was written and acknowledged, after the file server was killed each time."""
    terminal = Terminal(disk=disk, programs=programs)
    lost = []
    for number in range(12):
        said = terminal.do(f"write f{number % 3} {'text' * 20} {number}")
        terminal.do("kill files")
        found = terminal.do(f"cat f{number % 3}")
        lost += [f"{said} {found}"] * (f"text {number}" not in found)
    terminal.system.cpu.close()
    return lost


@pytest.mark.slow
def test_the_mirror_and_each_driver_may_be_killed_and_the_halves_are_said_to_be_in_step_again() -> None:
    disk: Any = Mirrored(RamDisk(SIZE), RamDisk(SIZE), bytes(16))
    terminal = Terminal(disk=disk)
    for service in ("mirror", "disk2", "disk"):
        terminal.do(f"write {service} of {service}")
        assert "life 2 has begun" in terminal.do(f"kill {service}")
        assert terminal.do(f"cat {service}") == f"of {service}"
    terminal.do(LONG_ENOUGH)
    assert "the disk is a mirror: both disks are in step" in terminal.do("mounts")
    assert "disk2" in terminal.do("top")
    assert "call disk2" in terminal.do("caps mirror")
    terminal.close()


def test_without_a_mirror_nobody_speaks_of_one() -> None:
    terminal = Terminal()
    assert "mirror" not in terminal.do("mounts")
    terminal.close()


def test_a_second_half_needs_a_first_one_and_another_file(tmp_path: Path) -> None:
    image = tmp_path / "image"
    assert "name the first one with --disk" in refusal("--mirror", image)
    assert "are the same file" in refusal("--disk", image, "--mirror", image)
    assert not image.exists()
    blank(tmp_path, "image")
    (tmp_path / "link").symlink_to(image)
    (tmp_path / "hard").hardlink_to(image)
    for other in ("link", "hard"):
        assert "are the same file" in refusal("--disk", image, "--mirror", tmp_path / other)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0" * SMALLEST_DISK, f"half of a mirror has at least {SMALLEST_HALF}"),
        (b"\0" * 8 + b"littlefs" + b"\0" * SIZE, "a littlefs by itself, and no half of a mirror"),
        (b"\xff" * SIZE, "neither empty nor one half of a mirror"),
        (b"\0" * (SIZE + 1), "whole sectors"),
    ],
)
@pytest.mark.parametrize("side", ["--disk", "--mirror"])
def test_an_image_that_is_no_half_is_refused_and_the_other_one_is_not_made(
    tmp_path: Path, side: str, content: bytes, reason: str
) -> None:
    image, missing = tmp_path / "image", tmp_path / "missing"
    content = content[: len(content) // SECTOR * SECTOR] if reason != "whole sectors" else content
    image.write_bytes(content)
    other = "--mirror" if side == "--disk" else "--disk"
    assert reason in refusal(side, image, other, missing)
    assert image.read_bytes() == content
    assert not missing.exists()


def test_half_of_a_mirror_alone_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "a", "b")
    assert "one half of a mirror; give the other one, too" in refusal("--disk", tmp_path / "a")


def test_halves_of_two_mirrors_are_refused(tmp_path: Path) -> None:
    made(tmp_path, "a", "b", b"1" * 16)
    made(tmp_path, "c", "d", b"2" * 16)
    before = [(tmp_path / name).read_bytes() for name in "abcd"]
    said = refusal("--disk", tmp_path / "a", "--mirror", tmp_path / "d")
    assert "no mirror: the disks belong to two mirrors; both are left as they are" in said
    assert [(tmp_path / name).read_bytes() for name in "abcd"] == before


def test_a_copy_of_a_half_is_not_the_other_half(tmp_path: Path) -> None:
    made(tmp_path, "a", "b")
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes())
    assert "both disks are disk 0 of a mirror" in refusal("--disk", tmp_path / "a", "--mirror", tmp_path / "b")


def parted(bench: MirrorBench, gone: int) -> None:
    """One disk does not answer, and the other one goes on."""
    bench.disks[gone].failing = True
    opened(bench, bytes(16))
    bench.write(0, b"x" * SECTOR)
    bench.flush()
    bench.disks[gone].failing = False


def test_halves_of_which_each_went_on_alone_are_refused(tmp_path: Path) -> None:
    for gone, names in ((0, "xb"), (1, "ay")):
        bench = made(tmp_path, "x", "y")
        parted(bench, gone)
        keep(bench, *(tmp_path / name for name in names))
    said = refusal("--disk", tmp_path / "a", "--mirror", tmp_path / "b")
    assert "each disk went on without the other" in said


def test_the_half_that_is_behind_does_not_begin_without_the_other(tmp_path: Path) -> None:
    bench = made(tmp_path, "a", "b")
    parted(bench, 1)
    opened(bench, bytes(16))
    bench.run(bench.mirror.look_on())
    keep(bench, tmp_path / "a", tmp_path / "b")
    label = label_of((tmp_path / "b").read_bytes())
    assert label is not None
    assert label.state is State.BEHIND
    said = refusal("--disk", tmp_path / "missing", "--mirror", tmp_path / "b")
    assert "is the half that is behind" in said
    assert not (tmp_path / "missing").exists()


def test_halves_whose_labels_are_all_spoilt_are_refused(tmp_path: Path) -> None:
    made(tmp_path, "a", "b")
    for name in "ab":
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(bytes(2 * SECTOR) + content[2 * SECTOR :])
    assert "neither says any more of which mirror it is" in refusal(
        "--disk", tmp_path / "a", "--mirror", tmp_path / "b"
    )


def test_an_empty_half_that_is_too_small_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "a", "b")
    blank(tmp_path, "c", size=SMALLEST_HALF)
    said = refusal("--disk", tmp_path / "a", "--mirror", tmp_path / "c")
    assert f"smaller than the other half, which has {SIZE} bytes" in said


PATHS = st.tuples(st.integers(0, 3), st.lists(st.text("ab/", min_size=1, max_size=5), min_size=2, max_size=2))


@given(PATHS, PATHS)
@example((0, ["a", "a"]), (0, ["a", "//a"]))
def test_identities_follow_from_the_seed_and_the_places_of_the_images(
    one: tuple[int, list[str]], other: tuple[int, list[str]]
) -> None:
    first, second = [(seed, [Path("/", each).resolve() for each in paths]) for seed, paths in (one, other)]
    assert (new_identity(*first) == new_identity(*second)) == (first == second)


def test_without_a_seed_identities_are_all_different() -> None:
    assert new_identity(None, [Path("a"), Path("b")]) != new_identity(None, [Path("a"), Path("b")])


@pytest.mark.slow
@pytest.mark.parametrize("names", [("a", "b", "c", "d"), ("one/a", "one/b", "two/a", "two/b")])
def test_halves_of_two_mirrors_that_were_made_with_the_same_seed_are_refused(
    tmp_path: Path, names: tuple[str, str, str, str]
) -> None:
    a, b, c, d = names
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
    blank(tmp_path, *names)
    played(tmp_path, "write notes of the one", disk=a, mirror=b)
    played(tmp_path, "write notes of the other", disk=c, mirror=d)
    assert "of the one" in played(tmp_path, "cat notes", disk=b, mirror=a)
    before = [(tmp_path / name).read_bytes() for name in names]
    for one, other in ((a, d), (c, b), (a, c), (b, d)):
        said = refusal("--seed", "1", "--disk", tmp_path / one, "--mirror", tmp_path / other)
        assert "the disks belong to two mirrors; both are left as they are" in said
    assert [(tmp_path / name).read_bytes() for name in names] == before


@pytest.mark.slow
def test_two_images_that_are_not_there_become_a_mirror_of_the_usual_size(tmp_path: Path) -> None:
    output = played(tmp_path, "mounts", LONG_ENOUGH, "mounts")
    assert "the disk is a mirror that is being opened" in output
    assert "the disk is a mirror: both disks are in use" in output
    assert [(tmp_path / name).stat().st_size for name in "ab"] == [NEW_DISK] * 2
    labels = [label_of((tmp_path / name).read_bytes()) for name in "ab"]
    assert [label.identity for label in labels if label] == [new_identity(1, [tmp_path / "a", tmp_path / "b"])] * 2


@pytest.mark.slow
def test_a_half_whose_labels_are_spoilt_is_written_again_and_halves_may_change_places(tmp_path: Path) -> None:
    blank(tmp_path, "a", "b")
    played(tmp_path, "write notes still here", LONG_ENOUGH)
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(bytes(2 * SECTOR) + content[2 * SECTOR :])
    assert "both disks are in step" in played(tmp_path, LONG_ENOUGH, "mounts", disk="b", mirror="a")
    (tmp_path / "b").unlink()
    assert "still here" in played(tmp_path, "cat notes")
