"""Worker processes: they carry out what is asked, and none is left when what they work for ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capkernel.tools.workers import WorkerDied, working

ROOT = Path(__file__).parents[2]
PATIENCE = 60
"""Seconds, on a busy machine."""


def test_results_come_in_the_order_of_the_items() -> None:
    with working(2) as workers:
        assert list(workers.map(len, ["abc", "", "ab"])) == [3, 0, 2]
        assert workers.submit(divmod, 17, 5).result() == (3, 2)


def test_so_many_processes_work_as_were_wanted() -> None:
    with working(2) as workers:
        futures = [workers.submit(time.sleep, 0.05) for _ in range(6)] + [workers.submit(os.getpid) for _ in range(6)]
        seen = {future.result() for future in futures} - {None}
    assert 1 <= len(seen) <= 2
    assert os.getpid() not in seen


def test_an_error_comes_back_with_its_place() -> None:
    with working(1) as workers, pytest.raises(ValueError, match="invalid literal") as caught:
        workers.submit(int, "x").result()
    assert "Traceback" in "".join(caught.value.__notes__)


def test_a_process_that_dies_is_an_error_and_not_silence() -> None:
    with working(2) as workers, pytest.raises(WorkerDied, match="ended in the middle"):
        workers.submit(os._exit, 3).result()


def test_what_does_not_end_ends_when_the_work_is_given_up() -> None:
    with working(2) as workers:
        never = workers.submit(time.sleep, 10 * PATIENCE)
    assert isinstance(never.exception(), WorkerDied)


def test_what_a_process_has_started_ends_with_it() -> None:
    with working(1) as workers:
        started = workers.submit(os.spawnlp, os.P_NOWAIT, "sleep", "sleep", str(10 * PATIENCE)).result()
        assert is_there(started)
    assert soon(lambda: not is_there(started))


def test_what_it_has_started_holds_nobody_up_who_waits_for_it() -> None:
    began = time.monotonic()
    with working(1) as workers:
        never = workers.submit(os.system, f"sleep {10 * PATIENCE}")
        time.sleep(1)
    assert isinstance(never.exception(), WorkerDied)
    assert time.monotonic() - began < PATIENCE


def children_of(pid: int) -> set[int]:
    """Processes that it started, and that are no zombies."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid and words[0] != "Z":
            found.add(int(path.parent.name))
    return found


def is_there(pid: int) -> bool:
    """Whether it is a process that runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true."""
    return any(condition() or time.sleep(0.02) for _ in range(50 * PATIENCE))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here: NOT RUN")
@pytest.mark.parametrize("to_group", [True, False])
@pytest.mark.parametrize("delay", [0.0, 0.15, 1.0])
def test_an_interrupt_ends_a_replay_at_once_without_a_word_and_leaves_nobody(delay: float, to_group: bool) -> None:
    # It hears interrupts, in whichever way the tests are run.
    hears = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{hears}\nfrom capkernel import cli\ncli.main()"
    command = [sys.executable, "-c", code, "conform", "tests/golden", "--jobs", "2"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, start_new_session=True)
    try:
        assert soon(lambda: len(children_of(process.pid)) >= 2)
        time.sleep(delay)
        family = children_of(process.pid)
        (os.killpg if to_group else os.kill)(process.pid, signal.SIGINT)
        said = process.communicate(timeout=PATIENCE)
        assert (process.returncode, *said) == (130, b"", b"")
        assert soon(lambda: not any(map(is_there, family)))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
