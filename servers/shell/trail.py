"""Where a program's caps come from, and which of them was used when something was refused.

A cap is an address in a CSpace; what it leads to only its server knows. But every cap that comes by message was asked
for through another one, up to those that the system's description gives. So who notes each question knows the way.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import asdict, frozen

from capkernel.abi.errors import INVALID_CAPABILITY
from capkernel.protocols.failures import FIRST_LABEL, Failure, Gone, ServerDied
from capkernel.protocols.interface import (
    DERIVE,
    DROP,
    REVOKE,
    interface_number_of,
    interfaces,
    operation_of,
    operations_of,
)
from capkernel.user.allocators import SlotAllocator
from capkernel.user.codec import MessageError
from capkernel.user.inbox import Inbox
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.messages import label_of, unpack
from capkernel.user.syscalls import EMPTY, Message, Syscalls
from servers.shell.paths import LETTERS

MAX_REFUSALS: Final = 16
_OWN: Final = {DROP: "drop", DERIVE: "derive", REVOKE: "revoke"}


@frozen
class Question:
    """A call: through the cap at an address, with a request; ``answer`` is the label of the reply."""

    cap: int
    request: Message
    answer: int

    async def text(self) -> str:
        """The operation and its arguments, as a program would write them."""
        label = label_of(self.request)
        interface = next((each for each in interfaces() if each.number == interface_number_of(label)), None)
        if interface is None:
            return f"a message with label {label:#x}"
        number = operation_of(label)
        operation = operations_of(interface).get(number)
        if operation is None:
            return f"{interface.__name__}.{_OWN.get(number, number)}()"
        try:
            values = asdict(await unpack(operation.request, self.request))
        except MessageError:
            # The arguments went through shared memory, which has been used again since.
            values = {each.name: "…" for each in operation.data}
        words = [f"{name}={_shown(name, value)}" for name, value in values.items()]
        words += [f"{each.name}=cap" for each in operation.caps]
        return f"{interface.__name__}.{operation.name}({', '.join(words)})"


def _shown(name: str, value: object) -> str:
    return LETTERS.get(value, str(value)) if name == "rights" and isinstance(value, int) else repr(value)


@frozen
class Refusal:
    """A question that was answered with a failure; then those that brought the caps for it, the last one first."""

    question: Question
    way: tuple[Question, ...]


class Trail(Syscalls):
    """System calls that note what was asked. ``origins`` says of each cap that came by message what brought it."""

    def __init__(self, sys: Syscalls) -> None:
        super().__init__(sys.buffer)
        self.last: Question | None = None
        self.origins: dict[int, Question] = {}
        self.refusals: list[Refusal] = []

    async def call(self, dest: int, message: Message = EMPTY) -> Message:
        """Call, and note it."""
        reply = await super().call(dest, message)
        self.last = Question(dest, message, label_of(reply))
        if self.last.answer:
            self.refusals.append(Refusal(self.last, tuple(self.way(dest))))
            del self.refusals[:-MAX_REFUSALS]
        return reply

    def way(self, cap: int) -> Iterator[Question]:
        """The questions that brought a cap, from the last one back to one through a cap of the description."""
        seen: set[int] = set()
        while cap in self.origins and cap not in seen:
            seen.add(cap)
            question = self.origins[cap]
            yield question
            cap = question.cap

    def refusal(self, failure: Failure) -> Refusal | None:
        """The last question that was answered with this failure, or None: then it did not come from a server."""
        return next((each for each in reversed(self.refusals) if _meant(each.question.answer) == failure.label), None)


_FROM_BELOW: Final = {INVALID_CAPABILITY: FIRST_LABEL + Gone.code, SERVER_DIED: FIRST_LABEL + ServerDied.code}
"""Answers of the kernel, and of the initial task, that mean a failure."""


def _meant(answer: int) -> int:
    return _FROM_BELOW.get(answer, answer)


class TracedInbox(Inbox):
    """An inbox that notes which question brought a cap."""

    def __init__(self, trail: Trail, slots: SlotAllocator) -> None:
        super().__init__(trail, slots)
        self.trail = trail

    async def take(self, message: Message) -> int | None:
        """The address of the cap that came with a message."""
        question = self.trail.last
        slot = await super().take(message)
        if slot is not None and question is not None:
            self.trail.origins[slot] = question
        return slot

    async def discard(self, slot: int) -> None:
        """Delete a cap that was taken."""
        self.trail.origins.pop(slot, None)
        await super().discard(slot)


@frozen
class OwnCap:
    """A cap that the system's description gives: what it is for its holder, and the service behind it."""

    title: str
    service: str


async def story(refusal: Refusal, failure: Failure, own: Mapping[int, OwnCap]) -> list[str]:
    """What was asked, through which cap, from where that came, and what the answer was: lines."""
    lines = [f"What was asked: {await refusal.question.text()}"]
    cap = refusal.question.cap
    for number, question in enumerate(refusal.way):
        start = "Through a cap" if not number else "  That was asked through a cap"
        lines.append(f"{start} in slot {cap}, which was the answer to {await question.text()}.")
        cap = question.cap
    given = own.get(cap)
    start = "  That was asked through" if refusal.way else "Through"
    if given:
        lines.append(
            f"{start} {given.title} (slot {cap}), which the system's description gives: to call {given.service}."
        )
    else:
        lines.append(f"{start} the cap in slot {cap}, of which nothing more is known.")
    kind = (type(failure).__doc__ or "").strip()
    lines.append(f"The answer: {type(failure).__name__}: {failure}")
    lines.append(f"What that means: {kind}")
    return lines
