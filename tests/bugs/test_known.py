"""Rows that are as in real seL4: shown by a program, and not with their option on, which is off unless asked for."""

from dataclasses import replace

from capkernel.abi import labels
from capkernel.kernel.config import KernelConfig
from specs.bugs.known import Watching
from specs.generate import LAYOUTS
from specs.programs import SLOTS, Program, Syscall
from specs.programs.layout import TEST_BITS


def test_the_options_are_off() -> None:
    assert not KernelConfig().fix_send_to_passive
    assert not KernelConfig().fix_atomic_cancel


def test_a_generated_program_strands_a_passive_server_and_not_with_the_option() -> None:
    """S58."""
    watching = Watching("S58")
    found = watching.shown(1, 1_000)
    assert found is not None
    assert found.violated == ("S58",)
    assert watching.mended(1, 600) is None


def test_a_queue_is_emptied_at_once_and_in_pieces_with_the_option() -> None:
    """S60: two servers wait at an endpoint that goes."""
    watching = Watching("S60")
    steps = tuple(
        Syscall(cap=SLOTS["cnode"], label=label, words=(SLOTS["ep0"], TEST_BITS))
        for label in (labels.CNODE_REVOKE, labels.CNODE_DELETE)
    )
    layout = replace(LAYOUTS[5], work_units_per_preemption=1, work_unit_ticks=1)
    assert (watching.again(Program(layout, steps)).problem or "").startswith("S60 ")
    assert watching.again(Program(replace(layout, fixes=("fix_atomic_cancel",)), steps)).problem is None
