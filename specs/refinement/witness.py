"""What the machine answered the kernel in one entry, and what its memory held before."""

from collections.abc import Callable
from typing import Any

from capkernel.kernel.machine import Machine
from specs.abstract.state import Answers
from specs.invariants.recorder import Recorder


class Witness(Recorder):
    """A recorder that also keeps the answers about pending interrupts, and whatever is overwritten."""

    irq_pending: Callable[[], bool]

    def __init__(self, inner: Machine) -> None:
        super().__init__(inner)
        self._inner_pending = inner.irq_pending
        self._inner_bytes = inner.read_bytes
        self.irq_pending = self._asked

    def reset(self) -> None:
        """Forget; the kernel is about to be entered."""
        super().reset()
        self.pending: list[bool] = []
        self._words: dict[int, int] = {}
        self._regions: list[tuple[int, bytes]] = []

    def _wrapped(self, name: str, operation: Any) -> Any:
        recorded = super()._wrapped(name, operation)
        if name not in ("write_word", "clear"):
            return recorded

        def keeping(paddr: int, value: int) -> None:
            if name == "clear":
                self._regions.append((paddr, self._inner_bytes(paddr, value)))
            elif paddr not in self._words:
                self._words[paddr] = self.word_before(paddr)
            recorded(paddr, value)

        return keeping

    def _asked(self) -> bool:
        answer = self._inner_pending()
        self.pending.append(answer)
        return answer

    def answers(self) -> Answers:
        """All that the machine said, in order."""
        claimed = [self.claimed] if any(effect[0] == "claim_irq" for effect in self.effects) else []
        return Answers(list(self.times), list(self.pending), claimed)

    def word_before(self, paddr: int) -> int:
        """The word that an aligned address held when the kernel was entered."""
        found = self._words.get(paddr)
        if found is not None:
            return found
        for start, data in self._regions:
            if start <= paddr < start + len(data):
                return int.from_bytes(data[paddr - start : paddr - start + 8], "little")
        return self._read_word(paddr)
