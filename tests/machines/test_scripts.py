"""A failure prints a program that anyone can run."""

from pathlib import Path

import pytest

from capkernel.abi import labels
from hwmodel.tlb import Tlb
from specs.check import checked, require, to_script
from specs.generate import RandomChooser
from specs.generate import program as make_program
from specs.programs import SLOTS, Access, Program, Syscall

UNMAP = Program(steps=(
    Access(op="ld8", address=0x20000, thread=0),
    Syscall(cap=SLOTS["frame_mapped"], label=labels.PAGE_UNMAP, thread=0),
))  # fmt: skip


def test_a_script_is_the_program() -> None:
    for seed in range(20):
        program = make_program(RandomChooser(seed), 20)
        names: dict[str, object] = {"__name__": "script"}
        exec(to_script(program), names)
        assert names["program"] == program


def test_the_script_of_a_failure_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert checked(UNMAP).problem is None
    # A TLB that keeps everything looks like a kernel that forgets to flush it, in either build.
    monkeypatch.setattr(Tlb, "flush_all", lambda self: None)
    with pytest.raises(AssertionError) as failure:
        require(UNMAP)
    text = str(failure.value)
    assert text.startswith("G32 tlb_is_fresh")
    script = text[text.index("\n\n") + 2 :]
    names: dict[str, object] = {"__name__": "__main__"}
    with pytest.raises(SystemExit) as ended:
        exec(script, names)
    assert ended.value.code == 1
