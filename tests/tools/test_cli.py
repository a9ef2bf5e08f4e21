"""``capkernel`` itself: commands are found, and end in the same way when the user or the reader has had enough."""

import subprocess
import sys
from pathlib import Path

import pytest

from capkernel.cli import COMMANDS, INTERRUPTED, NO_READER

SYSTEM = Path(__file__).parents[2] / "examples" / "fortress.system"
PATIENCE = 120


def capkernel(*arguments: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a command, after some Python, by somebody who hears interrupts, in whichever way the tests are run."""
    hears = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{hears}\nimport sys\nfrom capkernel import cli\n{before}\nsys.argv[1:] = {list(arguments)!r}\ncli.main()"
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=PATIENCE)


INTERRUPTED_WHILE_LOADING = """
import os, signal, time
def load(name):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
    raise SystemExit('went on')
cli.importlib.import_module = load
"""


def test_an_interrupt_while_the_command_is_loaded_ends_it_without_a_word() -> None:
    done = capkernel("run", "x", before=INTERRUPTED_WHILE_LOADING)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


def test_a_process_that_does_not_hear_interrupts_goes_on_not_hearing_them() -> None:
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)" + INTERRUPTED_WHILE_LOADING
    done = capkernel("run", "x", before=deaf)
    assert (done.returncode, done.stderr) == (1, "went on\n")


def test_an_interrupt_of_the_command_gives_the_same_status() -> None:
    own = "def command():\n    raise KeyboardInterrupt\ncli._function = lambda name: command"
    done = capkernel("run", before=own)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


INTERRUPTED_IN_A_DESTRUCTOR = """
import os, signal, time
class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
def command():
    Dying()
    time.sleep(1000)
cli._function = lambda name: command
"""
FAILING_IN_A_DESTRUCTOR = """
class Dying:
    def __del__(self):
        raise ValueError('lost')
def command():
    Dying()
cli._function = lambda name: command
"""


def test_an_interrupt_in_a_destructor_is_not_lost() -> None:
    done = capkernel("run", before=INTERRUPTED_IN_A_DESTRUCTOR)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


def test_what_else_goes_wrong_in_a_destructor_is_told_as_ever() -> None:
    done = capkernel("run", before=FAILING_IN_A_DESTRUCTOR)
    assert done.returncode == 0
    assert "ValueError: lost" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["invariants"], ["demo"], ["help"], ["check", "--help"], ["check", str(SYSTEM)], ["bugs", "--list"]]
)
def test_a_reader_who_goes_away_ends_every_command_quietly_with_the_same_status(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "capkernel", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert (process.wait(PATIENCE), process.stderr.read()) == (NO_READER, "")
    process.stderr.close()


def test_a_command_that_there_is_not_is_refused_with_the_nearest_one() -> None:
    done = capkernel("chek")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no command 'chek'; did you mean 'check'?" in done.stderr


def test_without_a_command_all_are_listed() -> None:
    done, asked = capkernel(), capkernel("help")
    assert (done.returncode, asked.returncode) == (2, 0)
    assert done.stdout == asked.stdout
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
