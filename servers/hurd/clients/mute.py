"""A hostile translator: whoever asks it something never hears of it again, and it works as hard as it can."""

from typing import Any

from capkernel.protocols.files import Entry
from capkernel.user.process import Process
from servers.hurd.translator import Translator
from servers.hurd.translators.read_only import ReadOnly


class Mute(ReadOnly):
    """It never answers."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def list(self, start: int) -> list[Entry]:
        """Never."""
        while True:
            await self.process.compute(1_000)


async def main(process: Process) -> int:
    """Serve for ever, in its way."""
    root: Any = Mute(process)
    return await Translator(process).serve(lambda rights: root)
