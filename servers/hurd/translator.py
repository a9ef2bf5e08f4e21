"""Being a translator: a process that serves files or a directory of its own, in place of a node.

    async def main(process: Process) -> int:
        translator = Translator(process)
        tree = Tree(RamVolume(1 << 16))
        return await translator.serve(tree.root_directory)

What it was given, by name: its ``endpoint`` and reply objects, its CSpace; and, from the starter, ``at``, the directory
of its node as its owner sees it, ``auth``, its owner's identity, and perhaps ``root``, the root as anybody sees it. Its
first argument is the node's name in ``at``.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from capkernel.protocols.hurd import NodeFile, Nodes, rights_of
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.protocols.spawn import given
from capkernel.user.loop import ANSWERED, PD
from capkernel.user.pdimage import PDValues
from capkernel.user.process import IPC_BUFFER, MissingCap, Process
from capkernel.user.syscalls import Message

ENDPOINT: Final = "endpoint"
REPLIES: Final = ("reply", "reply1", "reply2", "reply3")
"""Its reply objects: the first for whoever calls, the others for those who wait (``Service``)."""
AT: Final = "at"
ROOT: Final = "root"


class Translator:
    """A process as a translator. Raises MissingCap if it was started as something else."""

    def __init__(self, process: Process) -> None:
        if process.inbox is None:
            raise MissingCap(f"{process.name} cannot receive caps, so it cannot serve")
        self.process = process
        self.endpoint = process.cap(ENDPOINT)
        self.pd = PD(PDValues(name=process.name), buffer=IPC_BUFFER)
        self.pd.sys = process.sys
        self.pd.reply_cap, *self.pd.spare_replies = (process.cap(name) for name in REPLIES)

    @property
    def name(self) -> str:
        """The node's name in ``at``."""
        return self.process.arguments[0]

    @property
    def at(self) -> Nodes:
        """The directory of its node. Raises MissingCap."""
        return given(Nodes, self.process, AT)

    async def underlying(self, rights: int) -> NodeFile:
        """The file that is its node. Raises failures."""
        return await self.at.underlying(self.name, rights)

    async def serve(self, root: Callable[[int], Interface]) -> NoReturn:
        """Serve for ever what ``root`` returns for a client with some rights."""
        await self.run(await self.begin(lambda session: root(rights_of(session))))

    async def begin(
        self, roots: Callable[[int], Interface | None], settle: Callable[[], Awaitable[None]] | None = None
    ) -> Service:
        """The objects that are served; ``roots`` says what a session's cap leads to, ``settle`` is as ``Service``'s."""
        service = Service(self.pd, roots=roots, endpoint=self.endpoint, inbox=self.process.inbox, settle=settle)
        await service.open()
        return service

    async def run(self, service: Service) -> NoReturn:
        """Serve them for ever."""
        sys, answer = self.pd.sys, None
        while True:
            reply = self.pd.reply_cap
            if isinstance(answer, Message):
                message = await sys.reply_recv(self.endpoint, reply, answer)
            else:
                message = await sys.recv(self.endpoint, reply)
            found = await service.protected(message)
            answer = None if found is ANSWERED else found
