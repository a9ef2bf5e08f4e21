"""A Python program that is started again knows nothing of its former life; a life that ends leaves nothing behind."""

import gc
import tracemalloc
from pathlib import Path

import pytest

from capkernel.tools.tour_systems import Booted
from specs.structure import structure
from tests.runtime.lifecycles import SUPERVISOR, boot, distribution, lifecycle, pd

TWICE = SUPERVISOR + "async def init(pd):\n    await again(pd)\n    await again(pd)\n"
REGION = '<memory_region name="page" size="0x1000"/>'
MAP = '<map mr="page" vaddr="0x4000000" perms="rw" setvar_vaddr="page"/>'
SYSTEM = REGION + pd("supervisor", 50) + pd("a", 60, MAP) + lifecycle("a")
IN_THE_MODULE = """
page: int = 0
seen = []
async def init(pd):
    global page
    seen.append(page)
    page += 1
    await pd.print(f"{seen}; ")
"""
IN_AN_OBJECT = """
page: int = 0
class Program:
    def __init__(self):
        self.seen = []
    async def init(self, pd):
        self.seen.append(page)
        await pd.print(f"{self.seen}; ")
"""
WITH_A_NEIGHBOUR = """
page: int = 0
from .words import seen
def init(pd):
    seen.append(page)
    pd.print(f"{seen}; ")
"""


@pytest.mark.parametrize("program", [IN_THE_MODULE, IN_AN_OBJECT, WITH_A_NEIGHBOUR])
def test_a_program_that_is_started_again_sees_nothing_of_its_former_life(tmp_path: Path, program: str) -> None:
    booted = boot(tmp_path, SYSTEM, {"supervisor": TWICE, "a": program, "words": "seen = []\n"})
    assert booted.run().output == "[67108864]; " * 3


def test_so_does_a_child_that_its_parent_restarts(tmp_path: Path) -> None:
    parent = """
lives = 0
async def init(pd): pass
async def fault(pd, child, msg):
    global lives
    lives += 1
    if lives < 3:
        await pd.pd_restart(child, 0x200000)
    return False
"""
    child = IN_THE_MODULE.replace("page: int", "page") + "    await pd.load(0)\n"
    booted = boot(tmp_path, pd("parent", 50, pd("child", 20, id="1")), {"parent": parent, "child": child})
    assert booted.run().output == "[0]; " * 3


def test_a_destroyed_program_is_over_on_the_host_too(tmp_path: Path) -> None:
    program = """
async def init(pd):
    try:
        await pd.sys.recv(1, 4)
    finally:
        print("over")
        await pd.print("nobody hears this")
"""
    supervisor = SUPERVISOR + "async def init(pd):\n    await lifecycle.destroy(pd.sys, CAP)\n"
    booted = boot(tmp_path, SYSTEM, {"supervisor": supervisor, "a": "page: int = 0\n" + program})
    run = booted.run()
    assert (run.output, run.crashes) == ("", ())
    assert booted.system.cpu.live_count == 2
    assert list(booted.system.threads) == ["supervisor"]


CYCLING = (
    SUPERVISOR
    + """
async def init(pd):
    await pd.notify(1)
async def notified(pd, ch):
    await lifecycle.destroy(pd.sys, CAP)
    await again(pd)
    await pd.print(".")
    pd.deferred_notify(1)
"""
)
BACK = "async def init(pd): pass\nasync def notified(pd, ch): await pd.notify(1)\n"


@pytest.mark.parametrize(
    "lives", [pytest.param(150, marks=pytest.mark.slow), pytest.param(2_000, marks=pytest.mark.campaign)]
)
def test_any_number_of_lives_leaves_nothing_behind(tmp_path: Path, lives: int) -> None:
    """A round is: destroyed, rebuilt, started, told to the other side, who wakes the supervisor again."""
    grants = (
        '<?capkernel grant pd="a" kind="untyped" slot="310" size_bits="12"?>'
        '<?capkernel grant pd="a" kind="slots" at="5" size_bits="3" slot="311"?>'
        '<channel><end pd="supervisor" id="1"/><end pd="echo" id="1"/></channel>'
    )
    system = SYSTEM + pd("echo", 20) + grants
    booted = boot(tmp_path, system, {"supervisor": CYCLING, "a": IN_THE_MODULE.replace("print", "flush() and str"),
                                     "echo": BACK})  # fmt: skip
    before = distribution(booted)
    live_until(booted, 50)
    sizes, start = census(booted), 0
    tracemalloc.start()
    try:
        live_until(booted, 200)
        gc.collect()
        start = tracemalloc.get_traced_memory()[0]
        live_until(booted, lives)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - start < 200_000
    finally:
        tracemalloc.stop()
    assert census(booted) == sizes
    assert distribution(booted) == before


def live_until(booted: Booted, lives: int) -> None:
    """Run until so many rounds are over and everybody waits for the next."""
    while booted.output.text.count(".") < lives:
        assert booted.system.loop.run(max_entries=1) == "entries"


def census(booted: Booted) -> tuple[int, int, int]:
    """Coroutines, kernel objects and slots with caps."""
    found = structure(booted.system.state)
    return booted.system.cpu.live_count, len(found), sum("[" in name for name in found)
