"""Tables of tasks: what cannot be is told before the boot, with its line."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.tools.demo.stage import find_system
from capkernel.user.tables import Given, line_of, wrong_by
from servers.mach.configuration import ConfigurationError, judge, read_configuration

SYSTEMS = find_system("mach_tasks").parent
SHIPPED = sorted(SYSTEMS.glob("*.toml"))
GOOD = """\
[tasks]
2 = "server"
3 = "client"

[memory]
server = 4096

[services]
files = "server"
"""


def test_what_a_table_says_is_read() -> None:
    read = read_configuration(GOOD)
    assert read.tasks == {2: "server", 3: "client"}
    assert read.memory == {2: 4096, 3: 2048}
    assert read.services == {"files": 2}
    assert list(judge(Given(GOOD))) == []


@pytest.mark.parametrize(
    ("was", "instead", "line", "what", "hint"),
    [
        ('3 = "client"', '3 = "server"', 3, "tasks: 3 has the name of 2, 'server'", "each task has a name of its own"),
        ("[memory]", "[memry]", 5, "nobody reads a table 'memry'", "there is memory"),
        ("server = 4096", "servant = 4096", 6, "memory: there is no task 'servant'", "tasks: server, client"),
        ("server = 4096", "server = 0", 6, "memory: server cannot have 0", "a number from 1 to 16777216"),
        ("server = 4096", "server = true", 6, "memory: server cannot have True", "a number from 1 to 16777216"),
        ("server = 4096", 'server = "4096"', 6, "memory: server cannot have '4096'", "a number from 1 to 16777216"),
        ('files = "server"', 'files = "host"', 9, "services: there is no task 'host'", "tasks: server, client"),
        ('files = "server"', "files = 2", 9, "services: there is no task 2", "tasks: server, client"),
        ("[memory]\nserver = 4096\n", "[shared]\nclient = 65537\n", 6, "shared: client cannot have 65537",
         "a number from 1 to 65536"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_its_line_and_what_would_be_right(
    was: str, instead: str, line: int, what: str, hint: str
) -> None:
    text = GOOD.replace(was, instead)
    assert text != GOOD
    with pytest.raises(ConfigurationError) as raised:
        list(judge(Given(text)))
    wrong = wrong_by(text, raised.value)
    assert (wrong.line, wrong.message, wrong.hint) == (line, what, hint)


def test_tasks_cannot_have_more_than_the_store() -> None:
    with pytest.raises(ConfigurationError, match="the tasks have 6144 bytes, and the store has 6143") as raised:
        read_configuration(GOOD, 6143)
    assert line_of(GOOD, raised.value.at) == 5
    assert read_configuration(GOOD, 6144).memory == {2: 4096, 3: 2048}


@given(st.sampled_from(SHIPPED), st.data())
def test_a_spoilt_table_is_read_or_refused_with_what_is_wrong(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    at = data.draw(st.integers(0, len(text)))
    spoilt = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 5)) :]
    line, read = 0, None
    try:
        read = read_configuration(spoilt)
    except ValueError as error:
        line = wrong_by(spoilt, error).line
    assert 0 <= line <= spoilt.count("\n") + 1
    if read is not None:
        assert {*read.memory} == {*read.tasks}
        assert {*read.shared, *read.lives, *read.services.values()} <= {*read.tasks}


def test_a_system_with_a_wrong_table_is_refused_before_the_boot(tmp_path: Path) -> None:
    shutil.copytree(SYSTEMS, tmp_path / "systems")
    table = tmp_path / "systems" / "mach_tasks.toml"
    command = [str(Path(sys.executable).parent / "capkernel"), "check", str(tmp_path / "systems" / "mach_tasks.system")]
    good = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert good.returncode == 0, good.stdout + good.stderr
    wrong = re.sub(r"(?m)^third = 2048", "thrid = 2048", table.read_text())
    assert wrong != table.read_text()
    table.write_text(wrong)
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    line = wrong.splitlines().index("thrid = 2048") + 1
    assert refused.returncode == 1
    told = refused.stdout + refused.stderr
    assert f"mach_tasks.toml:{line}" in told
    assert "memory: there is no task 'thrid'" in told
    assert "Traceback" not in told
