"""The first system of the documentation does what it says there."""

import re
from pathlib import Path

from capkernel.tools.tour_systems import Booted

PAGE = Path(__file__).parents[2] / "docs" / "system-files.md"
BLOCK = re.compile(r"```\w+\n(?:<!--|#) (\S+\.(?:system|py))(?: -->)?\n(.*?)```", re.DOTALL)


def test_the_first_system(tmp_path: Path) -> None:
    files = dict(BLOCK.findall(PAGE.read_text()))
    assert sorted(files) == ["client.py", "pair.system", "server.py"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    run = Booted(tmp_path / "pair.system").run()
    assert run.output.startswith("server: ready\nclient: the board says 144\n")
    ((domain, fault),) = run.faults
    assert (domain, fault.split(" at ")[0]) == ("client", "VMFault: store")
