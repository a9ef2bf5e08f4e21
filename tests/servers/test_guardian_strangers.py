"""A guardian whom somebody signals on a channel that means nothing: that is no beat, and nobody is killed for it."""

from capkernel.user.loop import PD
from capkernel.user.pdimage import PDValues
from servers.system.guardian import PATIENCE, Program
from tests.servers.stepping import run_steps

STRANGER = 40


def nothing(*operation: object) -> None:
    raise AssertionError(f"the guardian does {operation}")


def test_a_strangers_signals_are_no_beats() -> None:
    guardian = Program()
    pd = PD(PDValues(name="guardian"))
    for _ in range(10 * PATIENCE):
        run_steps(guardian.notified(pd, STRANGER), nothing)
    assert guardian.silent == 0
    assert not guardian.has_revived
