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

    def check(self) -> None:
        """Raises ValueError if no bucket can be like this: one that was written down by somebody."""
        if not 0 <= self.left <= self.burst or self.interval <= 0 or self.refused < 0:
            raise ValueError(f"there can be no bucket with {self.left} drops of {self.burst}")

    def go_on_from(self, other: "Rate") -> None:
        """Have as many drops as another, as far as they fit. Raises ValueError if that one cannot be."""
        other.check()
        self.left, self.filled_at, self.refused = min(other.left, self.burst), other.filled_at, other.refused

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
