"""The root tasks in C and assembly of ``examples/c``. The same files run on the real kernel."""

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="machine code needs the extra [riscv]")

from capkernel.runtime.machine_code import MachineCodeSystem
from capkernel.runtime.trace import Trace
from capkernel.system.elf import read_program
from capkernel.tools.boot.console import WatchedConsole
from hwmodel.cpu.riscv.engine import find_shim
from tests.crosscompiler import CROSS, needs_compiler
from tests.runtime.pdelf import EXAMPLES

pytestmark = needs_compiler

KINDS = [False] if find_shim() is None else [False, True]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the programs, built from a copy of the sources."""
    sources = tmp_path_factory.mktemp("c") / "c"
    shutil.copytree(EXAMPLES / "c", sources, ignore=shutil.ignore_patterns("build"))
    made = subprocess.run(["make", "-C", str(sources), f"CROSS={CROSS}"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return sources / "build"


def boot(path: Path, compiled: bool | None = None) -> tuple[str, str]:
    """What a program prints until nothing happens any more, and the hash of its trace."""
    console = WatchedConsole(io.BytesIO(), None)
    system = MachineCodeSystem(read_program(path.read_bytes()), console=console, compiled=compiled)
    trace = Trace(system.loop)
    assert system.loop.run(max_entries=200_000) == "idle"
    return console.text, trace.hash()


@pytest.mark.parametrize("name", ["tiny", "hello", "pingpong", "pingpong_fast", "pager", "badges", "timer"])
def test_a_root_task_does_what_it_shows_with_and_without_the_shim(built: Path, name: str) -> None:
    told = [boot(built / f"{name}.elf", kind) for kind in KINDS]
    text, _ = told[0]
    assert text.splitlines()[-1] == f"{name.removesuffix('_fast')}: done"
    assert "FAILED" not in text
    assert all(other == told[0] for other in told)


def test_the_pager_sees_exact_addresses(built: Path) -> None:
    text, _ = boot(built / "pager.elf")
    assert re.search(r"VMFault: write of 0x20000000 at pc 0x1001[0-9a-f]: forbidden", text)


def test_the_timer_driver_sees_its_interrupts_on_time(built: Path) -> None:
    text, _ = boot(built / "timer.elf")
    seen = re.findall(r"due after (\d+) us, seen after (\d+) us", text)
    assert len(seen) == 5
    assert all(int(now) - int(due) in range(10) for due, now in seen)


def ways_in(text: str) -> tuple[int, int]:
    found = re.search(r"attempts: (\d+), refused: \d+, ways in: (\d+)", text)
    assert found, text
    return int(found[1]), int(found[2])


def test_an_attacker_in_machine_code_finds_no_way_in(built: Path) -> None:
    attempts, entered = ways_in(boot(built / "attacker.elf")[0])
    assert attempts > 10_000
    assert entered == 0


def test_with_one_mapping_too_many_it_finds_some(built: Path) -> None:
    _, entered = ways_in(boot(built / "attacker_weak.elf")[0])
    assert entered > 30
