"""Microkit's own published descriptions, read from a checkout.

Set CAPKERNEL_MICROKIT to the path of a Microkit 2.3 checkout; without it this is skipped.
"""

import os
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from attrs import evolve

from capkernel.system.board import Arch, Board, find_board
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.microkit import load

CHECKOUT = os.environ.get("CAPKERNEL_MICROKIT")
pytestmark = pytest.mark.skipif(not CHECKOUT, reason="CAPKERNEL_MICROKIT does not name a Microkit checkout")

# The configurations that the published tests use are no real boards.
ARM = Board(name="arm", arch=Arch.AARCH64, user_top=(1 << 40) - 1, hypervisor=True, iommu=True, smc=None)
PC = evolve(ARM, name="pc", arch=Arch.X86_64, user_top=find_board("x86_64_generic").user_top, smp_cores=16)
EXAMPLES = sorted(Path(CHECKOUT or "/nowhere").glob("example/*/*.system"))
TEST = re.compile(r"#\[test\]\s*fn (\w+)\(\) \{(.*?)\n    \}\n", re.DOTALL)
EXAMPLE_BOARDS = {
    "x86_64_ioport": "x86_64_generic",
    "x86_64_iommu_dma_test": "x86_64_generic",
    "bootinfo": "x86_64_generic",
    "ethernet": "tqma8xqp1gb",
    "timer": "odroidc4",
}


def published_tests():
    tests = Path(CHECKOUT or "") / "tool/microkit/tests"
    source = (tests / "test.rs").read_text() if CHECKOUT else ""
    for name, body in TEST.findall(source):
        path = tests / "sdf" / re.search(r'"(\w+\.system)"', body)[1]
        board = PC if "X86_64_KERNEL" in body else ARM
        if "Arch::Riscv64" in body:
            board = evolve(board, arch=Arch.RISCV64)
        if "iommu: false" in body:
            board = evolve(board, iommu=False)
        config = "smp-debug" if "SMP_AARCH64" in body else "debug"
        valid = "check_success" in body
        yield pytest.param(path, board, config, valid, id=f"{name}-{path.stem}")


@pytest.mark.parametrize(("path", "board", "config", "valid"), list(published_tests()))
def test_judged_as_published(path, board, config, valid):
    search_path = [path.parents[1] / "prefills"]
    outcome = nullcontext() if valid else pytest.raises(DescriptionError)
    with outcome:
        load(path, search_path=search_path, board=board, config=config)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path):
    board = find_board(EXAMPLE_BOARDS.get(path.stem, "qemu_virt_aarch64"))
    load(path, search_path=[path.parent], board=board)
