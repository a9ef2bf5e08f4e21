"""Whole programs as plain data: what they are, how they run, how they print."""

from specs.programs.execute import Execution, run
from specs.programs.layout import SLOTS, world_of
from specs.programs.model import Access, Compute, Dma, Interrupt, Layout, Program, Step, Syscall, Worker

__all__ = [
    "SLOTS", "Access", "Compute", "Dma", "Execution", "Interrupt", "Layout", "Program", "Step", "Syscall", "Worker",
    "run", "world_of",
]  # fmt: skip
