"""Rows that are as in real seL4: shown by a program, and not with their option on, which is off unless asked for."""

from dataclasses import replace

import pytest

from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from capkernel.kernel.config import KernelConfig
from specs.bugs.known import EQUALS, Watching
from specs.generate import LAYOUTS
from specs.programs import SLOTS, Compute, Program, Syscall
from specs.programs.layout import TEST_BITS


def test_the_options_are_off() -> None:
    assert not KernelConfig().fix_send_to_passive
    assert not KernelConfig().fix_atomic_cancel
    assert not KernelConfig().fix_lent_turns


def test_a_generated_program_strands_a_passive_server_and_not_with_the_option() -> None:
    """S58."""
    watching = Watching("S58")
    found = watching.shown(1, 1_000)
    assert found is not None
    assert found.violated == ("S58",)
    assert watching.mended(1, 600) is None


def test_a_generated_program_wakes_several_at_once_and_not_with_the_option() -> None:
    """S60."""
    watching = Watching("S60")
    found = watching.shown(1, 5_000)
    assert found is not None
    assert found.violated == ("S60",)
    assert watching.mended(1, found.steps) is None


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


def test_a_generated_program_gets_a_fresh_turn_in_front_of_its_equals_by_a_call_and_not_with_the_option() -> None:
    """S59."""
    watching = Watching("S59")
    found = watching.shown(1, 5_000)
    assert found is not None
    assert found.violated == ("S59",)
    assert watching.mended(1, 2_000) is None


@pytest.mark.parametrize(("ticks", "goes_on_anew"), [(700, False), (1_100, True)])
def test_who_calls_a_server_until_its_time_ends_goes_on_in_front_of_its_equals(ticks: int, goes_on_anew: bool) -> None:
    """S59: a turn is 1,000 ticks; a server above its client computes on that time, and answers."""
    steps = (
        Syscall(sc.CALL, SLOTS["ep0"]), Compute(ticks),
        Syscall(sc.REPLY_RECV, SLOTS["ep0"], reply=SLOTS["reply0"]), Compute(1),
    )  # fmt: skip
    watching = Watching("S59")
    execution = watching.again(Program(EQUALS, steps))
    client, *others = execution.ran
    assert others == ["worker2", "worker2", *([] if goes_on_anew else [client])]
    assert (execution.problem or "").startswith("S59 ") == goes_on_anew

    mended = watching.again(Program(replace(EQUALS, fixes=("fix_lent_turns",)), steps))
    assert mended.problem is None
    assert (mended.ran[3] == client) == (not goes_on_anew)


def test_with_the_option_a_turn_that_ended_while_it_was_lent_is_made_up_for_once() -> None:
    """S59: the client goes behind its equal; in its next turn it calls the same server, and goes on at once."""
    short = Syscall(sc.CALL, SLOTS["ep0"]), Syscall(sc.REPLY_RECV, SLOTS["ep0"], reply=SLOTS["reply0"])
    steps = short[0], Compute(1_100), short[1], Compute(1_100), *short, Compute(1)
    execution = Watching("S59").again(Program(replace(EQUALS, fixes=("fix_lent_turns",)), steps))
    assert execution.problem is None
    client, equal = execution.ran[0], execution.ran[3]
    server = "worker2"
    assert execution.ran == [client, server, server, equal, client, server, client]
