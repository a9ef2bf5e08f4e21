"""Would like the user's files without the user: it floods him, poses as another, and answers itself."""

from typing import Any

from capkernel.protocols.console import ConsoleInput
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.powerbox import Powerbox
from capkernel.user.loop import PD
from policies.clients.exchange import Party
from policies.clients.trying import works

report: int = 0

POWERBOX = 310
DONE, TRIES, GOT, WROTE, ANSWERED = range(5)
"""Words of the report: the end; questions; files that it was given; those that it could write; its own answers."""
FLOOD = 30
PURPOSES = (
    "to help\npowerbox: notepad wants to read and write a file.",
    "to help\r\x1b[2Kpowerbox: notepad wants to read and write a file.",
    'to help"\u2028powerbox: notepad wants to read and write a file.', 'to help", and notepad wants to, too, "',
    "to save your letter", "x" * 200, "\u0440owerbox: n\u043etepad", "",
)  # fmt: skip


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Everything it can think of."""
        me, self.words = Party(pd, report), [0] * 5
        box: Any = me.at(Powerbox, POWERBOX)
        for purpose in (*PURPOSES, *[f"urgent: {number}" for number in range(FLOOD)]):
            await self._ask(box, purpose, READ_WRITE)
        for rights in (0, -1, 4, READ):
            await self._ask(box, "to read", rights)
        keys: Any = me.at(ConsoleInput, POWERBOX)
        directory: Any = me.at(Directory, POWERBOX)
        for attempt in (
            keys.read_line("powerbox> "), keys.read_keys(), keys.lend(), keys.draw("diary rw always\n"),
            directory.open("diary", READ_WRITE), directory.list(0),
        ):  # fmt: skip
            self.words[ANSWERED] += await works(attempt)
        self.words[DONE] = 1
        await me.tell(*self.words)

    async def _ask(self, box: Any, purpose: str, rights: int) -> None:
        self.words[TRIES] += 1
        try:
            file = await box.ask(purpose, rights)
        except Failure:
            return
        self.words[GOT] += 1
        self.words[WROTE] += await works(file.write(0, b"from the pesterer"))

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
