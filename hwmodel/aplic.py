"""The advanced platform-level interrupt controller (APLIC) for one hart, delivering interrupts directly.

After "The RISC-V Advanced Interrupt Architecture" 1.0, chapter 4: a domain in direct delivery mode, all priorities
equal, so that the lowest number wins. It differs from a PLIC in what it remembers. A level-triggered source is pending
exactly while its wire is up, whether claimed or not, and forgets a wire that has fallen; only edges are latched, and a
claim clears them. It knows no completion; so, as software for it does, this port holds a claimed source back itself
until it is completed, and then lets it through whether it was masked meanwhile or not.
"""

from hwmodel.stateful import Stateful


class Aplic(Stateful):
    """An interrupt controller with the sources 1 to `sources`, all level-triggered and disabled."""

    __slots__ = ("_asserted", "_edge", "_enabled", "_held", "_latched", "sources")
    STATE = ("_asserted", "_edge", "_enabled", "_held", "_latched")

    def __init__(self, sources: int) -> None:
        if sources < 1:
            raise ValueError("an interrupt controller needs at least one source")
        self.sources = sources
        self._asserted = self._edge = self._enabled = self._held = self._latched = 0

    # The kernel's side

    def pending(self) -> bool:
        """Say whether a claim would return a source."""
        return self._ready() != 0

    def claim(self) -> int:
        """Take the lowest-numbered source that is pending, enabled and not held, or return 0; hold it from then on."""
        ready = self._ready()
        if not ready:
            return 0
        bit = ready & -ready
        self._latched &= ~bit
        self._held |= bit
        return bit.bit_length() - 1

    def complete(self, irq: int) -> None:
        """Hold the source back no longer."""
        self._held &= ~self._bit(irq)

    def set_enabled(self, irq: int, enabled: bool) -> None:
        """Let the source `irq` through to the hart or not. Edges are kept meanwhile."""
        bit = self._bit(irq)
        self._enabled = self._enabled | bit if enabled else self._enabled & ~bit

    def set_trigger(self, irq: int, edge: bool) -> None:
        """Make the source `irq` edge-triggered or level-triggered; an edge seen before is forgotten."""
        bit = self._bit(irq)
        self._latched &= ~bit
        self._edge = self._edge | bit if edge else self._edge & ~bit

    # The devices' side

    def set_level(self, irq: int, asserted: bool) -> None:
        """Set the wire of the source `irq`; a rising wire is an edge for an edge-triggered one."""
        bit = self._bit(irq)
        if asserted:
            self._latched |= bit & self._edge & ~self._asserted
            self._asserted |= bit
        else:
            self._asserted &= ~bit

    def pulse(self, irq: int) -> None:
        """Assert the wire of the source `irq` for a moment and release it; nothing is left of it but an edge."""
        bit = self._bit(irq)
        self._latched |= bit & self._edge
        self._asserted &= ~bit

    def _waiting(self) -> int:
        return self._asserted & ~self._edge | self._latched

    def _ready(self) -> int:
        return self._waiting() & self._enabled & ~self._held

    # What tests and viewers look at

    def is_pending(self, irq: int) -> bool:
        """Say whether `irq` is pending, enabled or not, held or not."""
        return self._waiting() & self._bit(irq) != 0

    def is_enabled(self, irq: int) -> bool:
        """Say whether `irq` is enabled."""
        return self._enabled & self._bit(irq) != 0

    def in_service(self, irq: int) -> bool:
        """Say whether `irq` was claimed and not completed yet."""
        return self._held & self._bit(irq) != 0

    def _bit(self, irq: int) -> int:
        if not 1 <= irq <= self.sources:
            raise ValueError(f"interrupt source {irq} is not in 1..{self.sources}")
        return 1 << irq
