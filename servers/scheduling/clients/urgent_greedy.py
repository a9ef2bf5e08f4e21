"""The same, with ten times as much to do: more than its partition's critical budget."""

from servers.scheduling.clients import urgent


class Program(urgent.Program):
    """The program."""

    @property
    def work(self) -> int:
        """Ticks of work a signal."""
        return 10 * self.WORK
