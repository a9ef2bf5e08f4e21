"""The session in docs/shell.md is what the script in examples/shell gives, to the letter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "shell" / "processes.script"


def session(hash_seed: str) -> tuple[str, str]:
    """What the script gives, as a terminal shows it; and the trace's hash."""
    command = [sys.executable, "-m", "capkernel", "shell", "--seed", "1", "--script", str(SCRIPT)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    run = subprocess.run(command, capture_output=True, timeout=120, check=True, env=environment)
    trace = re.search(r"trace ([0-9a-f]+)", run.stderr.decode())
    assert trace, run.stderr
    # What processes put out above the prompt erases it first.
    return re.sub(r"[^\n]*\x1b\[K", "", run.stdout.decode().replace("\r", "")), trace[1]


@pytest.mark.slow
def test_the_session_of_the_page_is_what_the_script_gives() -> None:
    shown, trace = session("1")
    page = (ROOT / "docs" / "shell.md").read_text()
    block = re.search(r"```console\n\$ capkernel shell[^\n]*\n(.*?)\n```", page, re.DOTALL)
    assert block
    wanted = [line.rstrip() for line in block[1].splitlines()]
    assert [line.rstrip() for line in shown.splitlines()] == wanted
    # The same seed gives the same trace, whatever the order of Python's sets.
    assert session("2") == (shown, trace)
