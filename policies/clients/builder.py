"""Builds factories, and would like to hear what their processes are trusted with: an attacker of confinement."""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.confinement import Factories, Factory
from capkernel.protocols.failures import NotFound
from capkernel.protocols.files import READ_WRITE, Directory, File
from capkernel.protocols.interface import Cap
from capkernel.protocols.pigeonholes import Pigeonhole
from capkernel.user.loop import PD
from policies.clients.exchange import Party
from policies.clients.trying import works

report: int = 0
memory: int = 0
"""A page that it could share with somebody, if a frame passed."""

FILES, FACTORIES, TO_REQUESTER, OUT, IN, FRAME = 310, 311, 312, 313, 314, 315
DONE, TRIES, SNEAKED, HEARD, WRITTEN = range(5)
"""Words of the report: 1 when its factories are built; tries to put a way out into one that seems to have none; those
that worked; secrets that came out; what its processes wrote into its files.
"""
PAUSE = 5_000


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Two factories: one that is to seem tight, one with a hole; and something that is none. Then listen."""
        self.me, words = Party(pd, report), [0] * 5
        files: Any = self.me.at(Directory, FILES)
        program = await files.create("program")
        await program.write(0, b"#!capkernel confidant\n")
        diary = await files.create("diary")
        factories: Any = self.me.at(Factories, FACTORIES)
        open_one = await self._begun(factories, program)
        await insist(open_one.hole, "out", Cap(OUT))
        with_hole = await insist(open_one.seal)
        tool = await insist((await self._begun(factories, program)).seal)
        tight = await self._begun(factories, program)
        await insist(tight.factory, "tool", tool)
        # A file that it may write itself; what the process gets is to be read only.
        await insist(tight.file, "diary", await files.open("diary", READ_WRITE))
        tries = [
            tight.file("out", self.me.at(File, OUT)), tight.file("shared", self.me.at(File, FRAME)),
            tight.factory("tool", self.me.at(Factory, OUT)), tight.program(self.me.at(File, OUT)),
            tight.file("out/hole", diary), tight.file("diary", diary),
        ]  # fmt: skip
        sealed: Any = await insist(tight.seal)
        tries += [tight.hole("late", Cap(OUT)), tight.file("late", diary), tight.program(diary)]
        tries += [self.me.at(factories.interface, sealed.cap).make()]
        for attempt in tries:
            words[TRIES] += 1
            words[SNEAKED] += await works(attempt)
        await self.me.put(TO_REQUESTER, sealed)
        await self.me.put(TO_REQUESTER, with_hole)
        await self.me.put(TO_REQUESTER, diary)
        words[DONE] = 1
        while True:
            await self.me.tell(*words)
            words[HEARD] += await self._hear()
            words[WRITTEN] = (await diary.info()).size
            await pd.compute(PAUSE)

    async def _begun(self, factories: Any, program: Any) -> Any:
        """A workshop with the program in it, and the pages of a book to look things up in."""
        workshop: Any = await insist(factories.make)
        await insist(workshop.program, await program.derive())
        await insist(workshop.file, "book", await program.derive())
        return workshop

    async def _hear(self) -> bool:
        """Whether a secret came out, and can be read."""
        try:
            cap = await self.me.at(Pigeonhole, IN).take()
        except NotFound:
            return False
        return bool(await self.me.at(File, cap, is_owned=True).read(0, 6) == b"secret")

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
