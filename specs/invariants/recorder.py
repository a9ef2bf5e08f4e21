"""The machine as the kernel sees it, with a record of all that the kernel did to it."""

from typing import Any, cast

from capkernel.kernel.machine import Machine

Effect = tuple[Any, ...]
"""Name of a machine operation, and its arguments."""
_EFFECTS = (
    "claim_irq", "complete_irq", "mask_irq", "set_irq_trigger", "set_deadline", "write_word", "write_bytes", "clear",
    "set_vspace", "flush_asid", "flush_all", "put_char", "halt", "iommu_set_context", "iommu_invalidate",
)  # fmt: skip


class Recorder:
    """Passes everything on to ``inner``, and keeps what happened since ``reset``.

    ``claimed`` is the last interrupt that was taken; ``times`` are the answers to looks at the clock; ``longest`` is
    the greatest number of operations on the machine between two of them; ``looks`` are the machine's two questions,
    ``now`` and ``irq_pending``, in order.
    """

    def __init__(self, inner: Machine) -> None:
        self.inner = inner
        self.read_bytes = inner.read_bytes
        self._read_word, self._now, self._irq_pending = inner.read_word, inner.now, inner.irq_pending
        self.reset()
        for name in _EFFECTS:
            setattr(self, name, self._wrapped(name, getattr(inner, name)))

    def as_machine(self) -> Machine:
        """Itself, as what it is for the kernel; most of that interface is made at run time."""
        return cast(Machine, self)

    def reset(self) -> None:
        """Forget; the kernel is about to be entered."""
        self.effects: list[Effect] = []
        self.times: list[int] = []
        self.looks: list[str] = []
        self.claimed = 0
        self.longest = self._operations = 0

    def _wrapped(self, name: str, operation: Any) -> Any:
        def recorded(*args: Any) -> Any:
            self._count()
            self.effects.append((name, *args))
            result = operation(*args)
            if name == "claim_irq":
                self.claimed = result
            return result

        return recorded

    def _count(self) -> None:
        self._operations += 1
        self.longest = max(self.longest, self._operations)

    def read_word(self, paddr: int) -> int:
        """The 64-bit word of RAM at an aligned address."""
        self._count()
        return self._read_word(paddr)

    def irq_pending(self) -> bool:
        """Whether an enabled interrupt waits."""
        self.looks.append("irq_pending")
        return self._irq_pending()

    def now(self) -> int:
        """The clock, in ticks."""
        self._operations = 0
        time = self._now()
        self.times.append(time)
        self.looks.append("now")
        return time
