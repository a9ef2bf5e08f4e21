"""A factory server that promises and does not keep apart: all factories of sessions are made of the same memory, which
is as much as was promised to all together.
"""

from servers.l4 import factory
from servers.l4.kernel_memory import KernelMemory

COMMON_BITS = 15


class Program(factory.Program):
    """The server."""

    def __init__(self) -> None:
        super().__init__()
        self.common: KernelMemory | None = None

    async def divide(self, memory: KernelMemory, bits: int) -> KernelMemory:
        """All of it, for everybody."""
        if self.common is None:
            self.common = await super().divide(memory, COMMON_BITS)
        return self.common
