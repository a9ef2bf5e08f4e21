"""seL4's own test suite: the very same root task that runs on the real kernel. See ``docs/sel4test.md``.

It is not part of this project: ``CAPKERNEL_SEL4TEST_ELF`` names it. The whole suite takes minutes, so ``make test``
runs it once, and a campaign again without the shim and with the invariants sampled.
"""

import io
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="machine code needs the extra [riscv]")

from capkernel.runtime.machine_code import MachineCodeSystem
from capkernel.runtime.trace import Trace
from capkernel.system.elf import read_program
from capkernel.tools.boot.baseline import compare, read_baseline, results
from capkernel.tools.boot.console import WatchedConsole
from hwmodel.cpu.riscv.engine import find_shim
from specs.sampling import Sampler

HERE = Path(__file__).parent
DRIVER = os.environ.get("CAPKERNEL_SEL4TEST_ELF", "")
END = "All is well in the universe"
needs_suite = pytest.mark.skipif(
    not DRIVER, reason="NOT RUN: seL4's test suite; CAPKERNEL_SEL4TEST_ELF names its root task (docs/sel4test.md)"
)


def run(compiled: bool | None = None, every: int | None = None) -> tuple[str, str, int]:
    """The console, the trace's hash, and how many states were checked."""
    console = WatchedConsole(io.BytesIO(), END)
    system = MachineCodeSystem(read_program(Path(DRIVER).read_bytes()), console=console, compiled=compiled)
    system.loop.stop_reason = lambda: "end" if console.seen else None
    trace = Trace(system.loop)
    sampler = Sampler(system.loop, system.machine, every) if every else None
    assert system.loop.run() == "end", console.text[-2000:]
    assert sampler is None or sampler.violations == []
    return console.text, trace.hash(), sampler.checked if sampler else 0


def require_all(console: str) -> None:
    rows = compare(read_baseline(HERE / "baseline.json"), results(console))
    assert [row for row in rows if not row.is_same or row.now != "pass"] == []
    assert len(rows) == 142


@needs_suite
@pytest.mark.slow
def test_all_tests_of_the_suite_pass_in_one_run() -> None:
    console, _, _ = run()
    assert "Test suite passed. 142 tests passed." in console
    require_all(console)


@needs_suite
@pytest.mark.campaign
def test_the_suite_runs_the_same_with_and_without_the_shim() -> None:
    first = run(compiled=False)
    require_all(first[0])
    if find_shim() is not None:
        assert run(compiled=True) == first


@needs_suite
@pytest.mark.campaign
def test_the_invariants_hold_while_the_suite_runs() -> None:
    console, _, checked = run(every=5_000)
    require_all(console)
    assert checked > 400


def test_the_ladder_names_the_tests_of_the_baseline() -> None:
    ladder = json.loads((HERE / "ladder.json").read_text())
    assert sorted(name for level in ladder for name in level["tests"]) == sorted(read_baseline(HERE / "baseline.json"))
