"""Checking the invariants during a long run, at some of its kernel entries."""

from capkernel.runtime.loop import Loop
from hwmodel.machine import Machine
from specs.invariants.model import Violation
from specs.monitor import Monitor


class Sampler(Monitor):
    """A monitor of a long run, which is told at once what to look at, and says at which entry it was.

    The entry point ``capkernel.checks`` leads here, so that the command line can check without importing this package.
    """

    def __init__(self, loop: Loop, machine: Machine, every: int) -> None:
        super().__init__(every=every)
        self.attach(loop, machine)

    def said(self, violation: Violation) -> str:
        """With the number of the kernel entry."""
        return f"at kernel entry {self.loop.entries}: {violation}"
