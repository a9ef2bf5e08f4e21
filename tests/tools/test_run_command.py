"""The command ``run``: exit status, times, the trace file, wrong usage."""

import json

import pytest
import typer
from typer.testing import CliRunner

from capkernel.runtime.described import DescribedSystem
from capkernel.tools.run import run as run_command

SYSTEM = """<system>
{}
<protection_domain name="main" priority="100"><program_image path="main.elf" /></protection_domain>
</system>
"""
HELLO = 'async def init(pd): await pd.print("hello")\n'
ENDLESS = """from capkernel.user.operations import compute
async def init(pd):
    while True:
        await compute(1000)
"""


@pytest.fixture
def run(tmp_path):
    app = typer.Typer()
    app.command()(run_command)

    def run(*words, program=HELLO, instruction=""):
        path = tmp_path / "t.system"
        path.write_text(SYSTEM.format(instruction))
        (tmp_path / "main.py").write_text(program)
        return CliRunner().invoke(app, [str(path), *words])

    return run


@pytest.mark.parametrize("option", ["--board", "--trace", "--input", "--policy", "--search-path"])
def test_a_name_that_is_empty_is_told_so(run, option):
    result = run(option, "")
    assert result.exit_code == 2
    assert f"'{option}'" in result.output
    assert "the name is empty" in result.output


def test_a_name_that_is_too_long_cannot_be_read():
    app = typer.Typer()
    app.command()(run_command)
    result = CliRunner().invoke(app, ["x" * 5000])
    assert result.exit_code == 2
    assert "File name too long" in result.output


def test_a_system_that_runs_to_its_end(run):
    result = run("--json")
    data = json.loads(result.stdout)
    assert result.exit_code == 0
    assert data["console"] == "hello"
    assert data["started"]
    assert 0 < data["started_ms"] < data["time_ms"]


@pytest.mark.parametrize(
    "program",
    [
        "async def init(pd): raise RuntimeError('no')\n",
        "from capkernel.user.operations import store\nasync def init(pd): await store(0, 1, 8)\n",
    ],
)
def test_a_crash_and_a_fault_are_failures(run, program):
    result = run(program=program)
    assert result.exit_code == 1
    assert "main stopped: " in result.stderr


def test_a_crash_that_a_parent_takes_care_of_is_no_failure(run, tmp_path):
    (tmp_path / "child.py").write_text("async def init(pd): raise RuntimeError('no')\n")
    child = '<protection_domain name="child" id="1" priority="5"><program_image path="child.elf" /></protection_domain>'
    parent = f'<protection_domain name="top" priority="9"><program_image path="main.elf" />{child}</protection_domain>'
    result = run("--json", program=HELLO + "async def fault(pd, child, msg): return False\n", instruction=parent)
    data = json.loads(result.stdout)
    assert result.exit_code == 0
    assert data["faults"] == []
    assert len(data["crashes"]) == 1


REGION = '<memory_region name="buffer" size="{}" phys_addr="{}" />'


@pytest.mark.parametrize(
    ("described", "complaint"),
    [
        ('<memory_region name="buffer" size="0x100000000" />', "take 1048576 pages of RAM"),
        (REGION.format("0x1000", "0xc000000"), "the kernel keeps 0xc000000"),
        (REGION.format("0x1000", "0x84000000"), "the kernel keeps 0x84000000"),
        (REGION.format("0x1000", "0xf00000000000"), "physical addresses end at 0x8000000000"),
        (REGION.format("0x400000", "0x80000000"), "partly in RAM"),
    ],
)
def test_memory_that_the_machine_has_not_got_is_refused_with_its_place(run, described, complaint):
    result = run(instruction=described)
    assert result.exit_code == 1
    assert "t.system:2:1: " in result.stderr
    assert complaint in result.stderr


def test_an_interrupt_that_the_machine_has_not_got_is_refused_with_its_place(run):
    image = '<program_image path="main.elf" /><irq irq="5000" id="3" />'
    result = run(instruction=f'<protection_domain name="a" priority="9">{image}</protection_domain>')
    assert result.exit_code == 1
    assert "a: interrupt 5000 is none of this machine's, 1 to 95" in result.stderr


def test_a_system_that_is_never_started_is_a_failure(run):
    result = run(instruction='<?capkernel grant pd="main" kind="untyped" slot="300" size_bits="38"?>')
    assert result.exit_code == 1
    assert "the initial task did not get to starting the system" in result.stderr


@pytest.mark.parametrize(
    "attributes",
    ['kind="untyped" size_bits="99"', 'kind="untyped" size_bits="-1"', 'kind="endpoint" of="main" badge="-7"',
     f'kind="notification" of="main" badge="{1 << 64}"'],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_before_anything_runs(run, attributes):
    result = run(instruction=f'<?capkernel grant pd="main" slot="300" {attributes}?>')
    assert result.exit_code == 1
    assert "t.system:2:1: " in result.stderr
    assert "but must be a number from" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "attributes",
    ['kind="untyped" size_bits="4"', 'kind="untyped" size_bits="20"', 'kind="reply"', 'kind="cnode" of="main"',
     f'kind="endpoint" of="main" badge="{(1 << 64) - 1}"', f'kind="notification" of="main" badge="{(1 << 64) - 1}"'],
)  # fmt: skip
def test_numbers_within_their_range_are_built(run, attributes):
    result = run(instruction=f'<?capkernel grant pd="main" slot="511" {attributes}?>')
    assert result.exit_code == 0
    assert "hello" in result.stdout


@pytest.mark.parametrize("seed", ["0", "7"])
def test_time_counts_from_boot_in_the_report_too(run, seed):
    data = json.loads(run("--json", "--time", "5", "--seed", seed, program=ENDLESS).stdout)
    assert data["stopped"] == "time"
    assert 5 <= data["time_ms"] < 5.2


@pytest.mark.parametrize("time", ["0", "0.01"])
def test_time_that_ends_before_the_start_is_said(run, time):
    result = run("--time", time)
    assert result.exit_code == 0
    assert "--time ended before the initial task had started the system" in result.stderr
    data = json.loads(run("--time", time, "--json").stdout)
    assert (data["started"], data["started_ms"], data["stopped"]) == (False, None, "time")


@pytest.mark.parametrize(
    "words",
    [("--time", "nan"), ("--time", "inf"), ("--time", "-5"), ("--trace", "/nonexistent/x"), ("--trace", "/tmp"),
     ("--trace", "/dev/full"),
     ("--board", "toaster")],
)  # fmt: skip
def test_wrong_usage(run, words):
    result = run(*words)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output


def test_the_trace_has_a_line_for_each_entry(run, tmp_path):
    data = json.loads(run("--json", "--trace", str(tmp_path / "trace")).stdout)
    assert len((tmp_path / "trace").read_text().splitlines()) == data["entries"]


def test_no_record_is_lost_when_the_run_is_broken_off(run, tmp_path, monkeypatch):
    """Records are written 64 at a time, so 6 of 70 wait."""

    def run_a_while(system, **options):
        system.loop.run(max_entries=70)
        raise RuntimeError("broken off")

    monkeypatch.setattr(DescribedSystem, "run", run_a_while)
    result = run("--trace", str(tmp_path / "trace"))
    assert str(result.exception) == "broken off"
    lines = (tmp_path / "trace").read_text().splitlines()
    assert len(lines) == 70
    assert all(json.loads(line) for line in lines)
