"""What the machine answered the kernel in one entry, and what its memory held before."""

from collections.abc import Callable
from typing import Any

from capkernel.kernel.machine import Machine
from specs.invariants.recorder import Recorder


class OutOfAnswers(Exception):
    """The specification asks the machine something that the kernel did not ask."""


class Testimony:
    """Recorded replies, given again in their order to whoever asks the same questions."""

    def __init__(self, replies: dict[str, list[Any]]) -> None:
        self._replies = {question: list(given) for question, given in replies.items()}

    def _next(self, question: str) -> Any:
        if not self._replies[question]:
            raise OutOfAnswers(f"it asks for {question} once more than the kernel did")
        return self._replies[question].pop(0)

    def clock(self) -> int:
        """The time, in ticks."""
        time: int = self._next("the clock")
        return time

    def irq_pending(self) -> bool:
        """Whether an interrupt waited."""
        return bool(self._next("pending interrupts"))

    def claim_irq(self) -> int:
        """The interrupt that was taken."""
        irq: int = self._next("the interrupt")
        return irq

    def unheard(self) -> dict[str, int]:
        """Question → how often the kernel asked it once more than was asked here."""
        return {question: len(given) for question, given in self._replies.items() if given}


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

    def answers(self) -> "Testimony":
        """All that the machine said."""
        claimed = [self.claimed] if ("claim_irq",) in self.effects else []
        return Testimony({"the clock": self.times, "pending interrupts": self.pending, "the interrupt": claimed})

    def word_before(self, paddr: int) -> int:
        """The word that an aligned address held when the kernel was entered."""
        found = self._words.get(paddr)
        if found is not None:
            return found
        for start, data in self._regions:
            if start <= paddr < start + len(data):
                return int.from_bytes(data[paddr - start : paddr - start + 8], "little")
        return self._read_word(paddr)
