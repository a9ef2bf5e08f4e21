"""The oracle: what must hold of every state and of every step, without trusting the kernel's bookkeeping."""

from specs.invariants.oracle import INVARIANTS, STEP_INVARIANTS, check_all, check_step, check_view

__all__ = ["INVARIANTS", "STEP_INVARIANTS", "check_all", "check_step", "check_view"]
