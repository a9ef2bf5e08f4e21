"""Ending a replay in which threads run on for ever: a kernel that differs can send them round in circles."""

from capkernel.tools.conform.world import World

MOST_INSTRUCTIONS = 100_000
"""In one operation; the recorded ones need fewer than a hundred."""


class EndlessRunError(Exception):
    """An operation of a program does not come to an end."""


class Patience:
    """Looks on during a replay and raises EndlessRunError when one operation takes too many instructions."""

    def __init__(self, most: int = MOST_INSTRUCTIONS) -> None:
        self.most = most
        self._left = most

    def begin(self, world: World) -> None:
        """Count the instructions that the machine fetches from now on."""
        machine, fetch = world.machine, world.machine.fetch

        def counted(vaddr: int) -> int:
            self._left -= 1
            if self._left < 0:
                raise EndlessRunError(f"one operation took more than {self.most} instructions")
            return fetch(vaddr)

        machine.fetch = counted

    def step(self, record: object) -> None:
        """A new operation begins."""
        self._left = self.most
