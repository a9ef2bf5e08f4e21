"""What a system used, from one moment to another."""

from time import process_time

from capkernel.tools.demo.stage import Stage


class Meter:
    """Started when it is made. Virtual time is exact but for the slice in which somebody looks."""

    def __init__(self, stage: Stage) -> None:
        self.system = stage.system
        self.start = self._now()

    def _now(self) -> tuple[int, int, float]:
        return self.system.loop.entries, self.system.machine.now(), process_time()

    def each(self, count: int) -> tuple[float, float, float]:
        """Kernel entries, virtual µs and host µs for each of ``count`` things."""
        entries, ticks, host = (now - then for now, then in zip(self._now(), self.start, strict=True))
        return entries / count, ticks / 10 / count, host * 1e6 / count
