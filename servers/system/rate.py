"""How often a client may ask for something: so many at once, then one in a while."""

from attrs import define

TICKS_PER_US = 10


@define
class Rate:
    """A bucket of ``burst`` drops, to which one is added each ``interval`` ticks; ``refused`` counts who found none."""

    burst: int
    interval: int
    left: int = 0
    filled_at: int | None = None
    refused: int = 0

    def take(self, now: int) -> bool:
        """Take a drop, if there is one."""
        if self.filled_at is None:
            self.left, self.filled_at = self.burst, now
        drops = (now - self.filled_at) // self.interval
        self.left, self.filled_at = min(self.burst, self.left + drops), self.filled_at + drops * self.interval
        if not self.left:
            self.refused += 1
            return False
        self.left -= 1
        return True
