"""Whole programs as plain data: what they are, how they run, how they print."""

from specs.programs.execute import Execution, Session, run
from specs.programs.layout import SLOTS
from specs.programs.model import Access, Compute, Dma, Interrupt, Layout, Program, Step, Syscall, Worker
from specs.programs.worlds import world_of

__all__ = [
    "SLOTS", "Access", "Compute", "Dma", "Execution", "Interrupt", "Layout", "Program", "Session", "Step", "Syscall",
    "Worker", "run", "world_of",
]  # fmt: skip
