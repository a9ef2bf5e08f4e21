"""What a system used, from one moment to another."""

from time import process_time

from attrs import frozen

from capkernel.tools.demo.stage import Stage

TICKS_PER_US = 10
"""A cycle of virtual time is a tick of the machine's clock: 100 ns."""


@frozen
class Cost:
    """Of one thing: kernel entries, bytes that programs copied many at a time, ticks of virtual time, host µs of CPU.

    Of what runs in no machine, only the host's time is known.
    """

    host_us: float
    kernel_entries: float | None = None
    copied: float | None = None
    cycles: float | None = None

    @property
    def virtual_us(self) -> float | None:
        """How long it takes."""
        return None if self.cycles is None else self.cycles / TICKS_PER_US


class Meter:
    """Started when it is made."""

    def __init__(self, stage: Stage) -> None:
        self.system = stage.system
        self.start = self._now()

    def _now(self) -> tuple[float, int, int, int]:
        return process_time(), self.system.loop.entries, self.system.cpu.copied, self.system.machine.now()

    def cost(self, count: int) -> Cost:
        """Of each of ``count`` things."""
        host, entries, copied, ticks = (now - then for now, then in zip(self._now(), self.start, strict=True))
        return Cost(host * 1e6 / count, entries / count, copied / count, ticks / count)

    def each(self, count: int) -> tuple[float, float, float]:
        """Kernel entries, virtual µs and host µs for each of ``count`` things."""
        cost = self.cost(count)
        return cost.kernel_entries or 0, cost.virtual_us or 0, cost.host_us


def run_to(stage: Stage, mark: int, longest_us: int) -> None:
    """Run until a program tells the host a number: so its moment is exact. Raises RuntimeError if none does."""
    stage.booted.boot()
    stage.system.loop.on_host = lambda thread, told: told != mark
    if stage.system.run(time_us=longest_us) != "host":
        raise RuntimeError(f"nobody came as far as {mark}")
