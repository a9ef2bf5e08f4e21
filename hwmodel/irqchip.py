"""The platform-level interrupt controller (PLIC), for one hart and one context.

After the RISC-V PLIC specification 1.0.0, with every priority fixed at 1 and the threshold at 0. A
source's gateway turns its wire into requests: a request sets the pending bit; the gateway then
holds back further requests until the one before was completed. Source numbers start at 1; 0 means
"none". All state is bit masks indexed by source number.
"""

from hwmodel.stateful import Stateful


class IrqChip(Stateful):
    """An interrupt controller with the sources 1 to `sources`, all level-triggered and disabled."""

    __slots__ = ("_asserted", "_edge", "_enabled", "_in_service", "_latched", "_pending", "sources")
    STATE = ("_asserted", "_edge", "_enabled", "_in_service", "_latched", "_pending")

    def __init__(self, sources: int = 95) -> None:
        if sources < 1:
            raise ValueError("an interrupt controller needs at least one source")
        self.sources = sources
        self._pending = 0
        self._enabled = 0
        self._edge = 0
        self._asserted = 0
        self._in_service = 0
        self._latched = 0

    # The kernel's side

    def pending(self) -> bool:
        """Say whether a claim would return a source."""
        return self._pending & self._enabled != 0

    def claim(self) -> int:
        """Take the lowest-numbered source that is pending and enabled, or return 0.

        The source is in service from then on, until it is completed.
        """
        ready = self._pending & self._enabled
        if not ready:
            return 0
        bit = ready & -ready
        self._pending &= ~bit
        self._in_service |= bit
        return bit.bit_length() - 1

    def complete(self, irq: int) -> None:
        """End the service of `irq`: a level still asserted or an edge seen meanwhile pends again.

        As in the specification, completing a source that is not enabled is silently ignored, and so
        is completing one that is not in service.
        """
        bit = self._bit(irq)
        if not bit & self._enabled & self._in_service:
            return
        self._in_service &= ~bit
        wire = self._latched if self._edge & bit else self._asserted
        if wire & bit:
            self._request(bit)
        self._latched &= ~bit

    def set_enabled(self, irq: int, enabled: bool) -> None:
        """Let the source `irq` through to the hart or not. Pending requests are kept meanwhile."""
        bit = self._bit(irq)
        self._enabled = self._enabled | bit if enabled else self._enabled & ~bit

    def set_trigger(self, irq: int, edge: bool) -> None:
        """Make the source `irq` edge-triggered or level-triggered; an edge on hold is forgotten."""
        bit = self._bit(irq)
        self._latched &= ~bit
        if edge:
            self._edge |= bit
        else:
            self._edge &= ~bit
            if self._asserted & bit:
                self._request(bit)

    # The devices' side

    def set_level(self, irq: int, asserted: bool) -> None:
        """Set the wire of the source `irq`; a rising wire is an edge for an edge-triggered one."""
        bit = self._bit(irq)
        rising = asserted and not self._asserted & bit
        self._asserted = self._asserted | bit if asserted else self._asserted & ~bit
        if rising:
            self._request(bit)

    def pulse(self, irq: int) -> None:
        """Assert the wire of the source `irq` for a moment and release it."""
        bit = self._bit(irq)
        self._asserted &= ~bit
        self._request(bit)

    def _request(self, bit: int) -> None:
        """Pass one request through the gateway; while in service it is held back, if an edge."""
        if not self._in_service & bit:
            self._pending |= bit
        elif self._edge & bit:
            self._latched |= bit

    # What tests and viewers look at

    def is_pending(self, irq: int) -> bool:
        """Say whether the pending bit of `irq` is set, enabled or not."""
        return self._pending & self._bit(irq) != 0

    def is_enabled(self, irq: int) -> bool:
        """Say whether `irq` is enabled."""
        return self._enabled & self._bit(irq) != 0

    def in_service(self, irq: int) -> bool:
        """Say whether `irq` was claimed and not completed yet."""
        return self._in_service & self._bit(irq) != 0

    def _bit(self, irq: int) -> int:
        if not 1 <= irq <= self.sources:
            raise ValueError(f"interrupt source {irq} is not in 1..{self.sources}")
        return 1 << irq
