"""What a machine wants of its interrupt controller, and which ones there are."""

from collections.abc import Callable
from typing import Protocol

from hwmodel.aplic import Aplic
from hwmodel.irqchip import IrqChip
from hwmodel.stateful import Saved


class InterruptController(Protocol):
    """A controller with sources numbered from 1, for one hart. Other numbers are a ValueError."""

    def pending(self) -> bool:
        """Say whether a claim would return a source."""
        ...

    def claim(self) -> int:
        """Take the source to be served next, or return 0."""
        ...

    def complete(self, irq: int) -> None:
        """End the service of a claimed source."""
        ...

    def set_enabled(self, irq: int, enabled: bool) -> None:
        """Let a source through to the hart or not."""
        ...

    def set_trigger(self, irq: int, edge: bool) -> None:
        """Make a source edge-triggered or level-triggered."""
        ...

    def set_level(self, irq: int, asserted: bool) -> None:
        """Set the wire of a source."""
        ...

    def pulse(self, irq: int) -> None:
        """Assert the wire of a source for a moment."""
        ...

    def is_pending(self, irq: int) -> bool:
        """Say whether a source is pending, enabled or not."""
        ...

    def is_enabled(self, irq: int) -> bool:
        """Say whether a source is enabled."""
        ...

    def in_service(self, irq: int) -> bool:
        """Say whether a source was claimed and not completed yet."""
        ...

    def snapshot(self) -> Saved:
        """Save the state."""
        ...

    def restore(self, saved: Saved) -> None:
        """Go back to a saved state."""
        ...


CONTROLLERS: dict[str, Callable[[int], InterruptController]] = {"plic": IrqChip, "aplic": Aplic}
"""By `Board.interrupt_controller`; each is made with the number of its sources."""
