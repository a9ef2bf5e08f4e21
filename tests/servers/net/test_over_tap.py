"""The stack, the host's network and the shell's system against the host's own kernel, where a namespace and a TAP
device may be had.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.net.wire import needs_lwip

ROOT = Path(__file__).parents[3]
NAMESPACE = ["unshare", "--map-root-user", "--net"]


def _may_have_tap() -> bool:
    if not shutil.which("unshare"):
        return False
    probe = "import os; os.open('/dev/net/tun', os.O_RDWR)"
    return not subprocess.run([*NAMESPACE, sys.executable, "-c", probe], capture_output=True, check=False).returncode


@needs_lwip
@pytest.mark.skipif(not _may_have_tap(), reason="no network namespace with a TAP device may be made here: NOT RUN")
@pytest.mark.parametrize("what", ["stack", "hostnet", "shell"])
def test_streams_with_the_kernel(what: str) -> None:
    command = [*NAMESPACE, sys.executable, "-m", "tests.servers.net.over_tap", what]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert result.stdout == "well\n", result.stderr
