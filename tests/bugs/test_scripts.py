"""The scripts of programs that were found: each shows, by itself, what it was found for."""

import subprocess
import sys
from pathlib import Path

import pytest

from specs.bugs.run import demonstrated, hunted


@pytest.mark.parametrize(("row", "shows"), [("S6", "T12 "), ("S37", "L1 "), ("S58", "S58 "), ("S59", "S59 ")])
def test_the_script_of_a_program_shows_what_the_program_was_found_for(row: str, shows: str, tmp_path: Path) -> None:
    find = hunted if shows[0] != "S" else demonstrated
    script = tmp_path / "found.py"
    script.write_text(find(row, 1, 5_000).script)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert any(line.startswith(shows) for line in done.stdout.splitlines()), done.stdout
