"""A client of a disk's driver that asks what it finds in memory, word by word, and writes down what it was answered."""

import struct

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

plan: int = 0
answers: int = 0
"""The plan: how many requests, and of each channel, label, number of words, words. The answers: 1 at the end, and of
each label, number of words, words.
"""
SIZE = 0x2_0000


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Ask one after the other."""
        words = iter(struct.unpack(f"<{SIZE // 8}Q", await pd.read(plan, SIZE)))
        said: list[int] = []
        for _ in range(next(words)):
            channel, label, count = next(words), next(words), next(words)
            answer = await pd.ppcall(channel, Message(label, [next(words) for _ in range(count)]))
            said += (answer.label, len(answer.words), *answer.words)
        await pd.write(answers + 8, struct.pack(f"<{len(said)}Q", *said))
        await pd.store(answers, 1)
