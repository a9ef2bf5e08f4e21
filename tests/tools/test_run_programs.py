"""What a program does, however odd, stays that program's affair: `run` goes on and reports it."""

from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from capkernel.tools.run import run as run_command

SYSTEM = """<system>
<protection_domain name="odd" priority="9"><program_image path="odd.elf" /></protection_domain>
<protection_domain name="calm" priority="5"><program_image path="calm.elf" /></protection_domain>
</system>
"""
CALM = 'async def init(pd): await pd.print("calm")\n'
RAW = "from types import coroutine\n@coroutine\ndef raw(x): return (yield x)\n"


def run(tmp_path: Path, program: str, *words: str, system: str = SYSTEM) -> Result:
    app = typer.Typer()
    app.command()(run_command)
    for name, text in {"s.system": system, "odd.py": program, "calm.py": CALM}.items():
        (tmp_path / name).write_text(text)
    return CliRunner().invoke(app, [str(tmp_path / "s.system"), *words])


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nasync def init(pd): sys.exit(0)\n",
        "import asyncio\nasync def init(pd): raise asyncio.CancelledError()\n",
        "async def init(pd): raise BaseException('x')\n",
        "def init(pd):\n    import greenlet\n    raise greenlet.GreenletExit()\n",
        RAW + "async def init(pd): await raw((1.0,0,0,0,0,0,0,0,0))\n",
        "async def real(pd): pass\ndef init(pd): return real(pd)\n",
        "async def init(pd): yield 1\n",
    ],
)
def test_a_program_that_ends_oddly_is_reported_and_the_others_go_on(tmp_path: Path, program: str) -> None:
    result = run(tmp_path, program)
    assert result.exit_code == 1
    assert "odd stopped" in result.stderr
    assert "calm" in result.stdout


@pytest.mark.parametrize("program", ["raise SystemExit(0)\n", "import asyncio\nraise asyncio.CancelledError()\n"])
def test_a_program_that_ends_while_it_is_loaded_is_refused(tmp_path: Path, program: str) -> None:
    result = run(tmp_path, program)
    assert result.exit_code == 1
    assert "cannot be loaded" in result.stderr


def test_a_child_that_ends_the_host_when_it_is_restarted_does_not(tmp_path: Path) -> None:
    child = "import sys\nasync def init(pd):\n    try: await pd.load(0x10)\n    except GeneratorExit: sys.exit(0)\n"
    (tmp_path / "child.py").write_text(child)
    inner = '<protection_domain name="child" id="3" priority="5"><program_image path="child.elf" /></protection_domain>'
    parent = (
        "async def init(pd): pass\n"
        "async def fault(pd, child, msg):\n    await pd.pd_restart(child, 0x200000)\n    await pd.print('again ')\n"
    )
    system = SYSTEM.replace('path="odd.elf" />', f'path="odd.elf" />{inner}')
    result = run(tmp_path, parent, "--time", "2", system=system)
    assert result.stdout.count("again") > 2
    assert "-- time" in result.stderr


def test_nobody_ends_the_run_by_speaking_to_the_host(tmp_path: Path) -> None:
    result = run(tmp_path, "from capkernel.user.operations import tell_host\nasync def init(pd): await tell_host(1)\n")
    assert (result.exit_code, result.stdout) == (0, "calm")


def test_time_ends_a_long_computation_on_the_tick(tmp_path: Path) -> None:
    system = SYSTEM.replace('priority="9"', 'priority="9" budget="10000000" period="10000000"')
    result = run(tmp_path, "async def init(pd): await pd.compute(1 << 40)\n", "--time", "10", system=system)
    assert "-- time after 10.000 ms" in result.stderr


@pytest.mark.parametrize("address", ["0x13fc06000", "0x84030000"])
def test_memory_that_the_initial_task_needs_is_refused_with_its_place(tmp_path: Path, address: str) -> None:
    region = f'<system>\n<memory_region name="r" size="0x1000" phys_addr="{address}" />'
    result = run(tmp_path, CALM, system=SYSTEM.replace("<system>", region))
    assert result.exit_code == 1
    assert "s.system:2:1: memory region r cannot be made" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", [("--seed", "-1"), ("--time", "1e308")])
def test_numbers_that_mean_nothing_are_wrong_usage(tmp_path: Path, words: tuple[str, str]) -> None:
    assert run(tmp_path, CALM, *words).exit_code == 2
