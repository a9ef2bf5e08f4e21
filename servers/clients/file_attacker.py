"""A client of the file server that wants what is not its own, or to stop the server. It counts what became of each try.

It has a read-only cap to the root, as its channel gives it, and shares memory with nobody.
"""

import random
from collections.abc import Awaitable
from typing import Any

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Directory, File
from capkernel.protocols.interface import operations_of
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SPILLED
from capkernel.user.syscalls import Message

report: int = 0

FILES = 0
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 330, 500
TRIES, REFUSED, WAYS_IN, DONE = 0, 8, 16, 24
"""Offsets in the report: tries; those that were answered with a failure; those that got what they should not; the end.
"""
NOISE = 400
NAMES = ("..", ".", "", "/", "../kept", "kept/../kept", "/etc/passwd", "a\0b", "x" * 300, "\ud7ff" * 86, "~", "*")
OBJECTS = 400
"""More than a client may have open."""


class Program:
    """The attacker."""

    def __init__(self) -> None:
        self.tries = self.refused = self.ways_in = 0

    async def init(self, pd: PD) -> None:
        """Everything it can think of."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        root = connect(Directory, Connection(pd.sys, inbox), BASE_ENDPOINT_CAP + FILES)
        kept = await root.open("kept", READ)
        await self._change(root, kept)
        await self._walk_out(root)
        await self._grow(root, kept)
        await self._shared_memory(pd, root)
        await self._noise(pd, root, kept)
        await self._flood(pd, root)
        for offset, value in ((TRIES, self.tries), (REFUSED, self.refused), (WAYS_IN, self.ways_in), (DONE, 1)):
            await pd.store(report + offset, value)

    async def _try(self, attempt: Awaitable[Any]) -> None:
        self.tries += 1
        try:
            await attempt
        except Failure:
            self.refused += 1
        else:
            self.ways_in += 1

    async def _change(self, root: Directory, kept: File) -> None:
        """Write with a cap that only reads."""
        for attempt in (
            kept.write(0, b"mine"), kept.resize(0), root.create("mine"), root.make_directory("mine"),
            root.remove("kept"), root.rename("kept", root, "mine"),
        ):  # fmt: skip
            await self._try(attempt)

    async def _walk_out(self, root: Directory) -> None:
        """Names that are paths."""
        for name in NAMES:
            await self._try(root.open(name, READ))
            await self._try(root.directory(name, READ))

    async def _grow(self, root: Directory, kept: File) -> None:
        """More rights than the cap has."""
        for rights in (WRITE, READ_WRITE, -1, 4, 1 << 40):
            await self._try(root.open("kept", rights))
            await self._try(root.restrict(rights))
            await self._try(kept.restrict(rights))

    async def _shared_memory(self, pd: PD, root: Directory) -> None:
        """Say that the request lies in memory that is shared with somebody else."""
        for number, operation in operations_of(Directory).items():
            for offset in (0, 8, 1 << 16, (1 << 64) - 8):
                answer = await pd.sys.call(BASE_ENDPOINT_CAP + FILES, Message(operation.label | SPILLED, (offset, 64)))
                self._count(answer.label != 0 or number == 9)

    async def _noise(self, pd: PD, root: Directory, kept: File) -> None:
        """Words that mean nothing."""
        chance = random.Random(1)
        assert isinstance(kept, Stub)
        for _ in range(NOISE):
            interface = chance.choice((Directory, File))
            label = interface.number << 8 | chance.randrange(20)
            words = [chance.choice((chance.getrandbits(64), chance.randrange(5))) for _ in range(chance.randrange(8))]
            cap = chance.choice((BASE_ENDPOINT_CAP + FILES, kept.cap))
            answer = await pd.sys.call(cap, Message(label, words))
            self._count(answer.label != 0)

    async def _flood(self, pd: PD, root: Directory) -> None:
        """Open more than there is room for, without ever closing."""
        label = operations_of(Directory)[10].label
        opened = 0
        for _ in range(OBJECTS):
            answer = await pd.sys.call(BASE_ENDPOINT_CAP + FILES, Message(label, (READ,)))
            opened += answer.label == 0
            self._count(answer.label != 0)
        self.ways_in += opened >= OBJECTS

    def _count(self, is_refused: bool) -> None:
        self.tries += 1
        self.refused += is_refused
