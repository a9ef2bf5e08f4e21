"""Carries one question at a time for a membrane, and waits for the answer in its place.

So the membrane itself waits for nobody, and can be cut whoever does not answer. And an answer comes to it as a message
through its own endpoint: a cap that leads back to the membrane arrives as its badge then, and is known again. (In a
reply the kernel would hand it over as a cap like any other.)

The membrane puts the caps that a question is about into slots of the courier's, and answers its call with label and
words of the question. The courier's next call has label, words and cap of the answer.
"""

from typing import Final

from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.loop import PD
from capkernel.user.messages import SPILLED
from capkernel.user.syscalls import Message

MEMBRANE, OWN_CNODE, TARGET, ARGUMENTS, FIRST_SLOT, END_SLOT = 310, 301, 320, range(321, 324), 330, 340
COUNT_SHIFT: Final = 32
"""In the label of a question: how many caps go along, above interface and operation."""
LABEL_MASK: Final = (1 << COUNT_SHIFT) - 1
READY: Final = SPILLED - 1
"""The label of a courier's first call: it has carried nothing."""


class Program:
    """The courier."""

    async def init(self, pd: PD) -> None:
        """Ask for a question, carry it, for ever."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        await inbox.open()
        answer, cap = Message(READY), None
        while True:
            question = await pd.sys.call(MEMBRANE, answer)
            if cap is not None:
                await inbox.discard(cap)
            answer, cap = Message(READY), None
            # If the membrane died, perhaps while it put caps into the slots, there is no question.
            if question.label != SERVER_DIED:
                caps = tuple(ARGUMENTS[: question.label >> COUNT_SHIFT])
                found = await pd.sys.call(TARGET, Message(question.label & LABEL_MASK, question.words, caps))
                cap = await inbox.take(found)
                answer = Message(found.label, found.words, () if cap is None else (cap,))
            for slot in (TARGET, *ARGUMENTS):
                await stubs.cnode_delete(pd.sys, OWN_CNODE, index=slot, depth=inbox.slots.depth)
