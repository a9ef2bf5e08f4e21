"""Running translators: what a user's own program does, and the starter for those that are passive.

A translator is a process with an endpoint and reply objects. These are made here, of a page of the user's account,
and outlive the process: so whoever waits for a translator that dies is told so (``SERVER_DIED``), and who asks later
finds that there is no such cap any more. All that it takes is its owner's: memory of his launcher and his account, and
processor time of a scheduling context of its own.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from attrs import define

from capkernel.abi import objects as obj
from capkernel.protocols.files import READ, Directory
from capkernel.protocols.interface import Cap
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.processes import Launcher
from capkernel.protocols.service import CLIENT_RIGHTS
from capkernel.protocols.spawn import spawn
from capkernel.user import stubs
from capkernel.user.inbox import Inbox
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.loop import ENDPOINT_BADGE
from capkernel.user.syscalls import Message
from servers.hurd.proving import given_up
from servers.hurd.translator import ENDPOINT, REPLIES

OBJECTS: Final = ((ENDPOINT, obj.ENDPOINT), *((name, obj.REPLY) for name in REPLIES))


@define(eq=False)
class Running:
    """A translator that was started. ``caps`` are its endpoint and its reply objects, in our slots, by name."""

    number: int
    memory: Any
    untyped: int
    caps: dict[str, int]
    process: Any = None

    @property
    def endpoint(self) -> Cap:
        """Without a badge: to be attached to a node."""
        return Cap(self.caps[ENDPOINT])


class Host:
    """Where somebody's translators run: with his launcher, his account, programs of ``programs``.

    ``notification`` is signalled when one ends, if there is one; ``tidy`` is to be awaited then.
    """

    def __init__(
        self, inbox: Inbox, launcher: Launcher, account: Account, programs: Directory, notification: int = 0
    ) -> None:
        self.inbox = inbox
        self.launcher = launcher
        self.account = account
        self.programs = programs
        self.notification = notification
        self._numbers = count(1)
        self.running: list[Running] = []

    async def start(
        self, command: list[str], caps: Mapping[str, Any] | None = None, *, name: str = "", heap: int = 0
    ) -> Running:
        """Start a program as a translator, with these caps besides its own. Raises failures."""
        made = await self._objects()
        try:
            program: Any = await self.programs.open(command[0], READ)
            try:
                made.process = await spawn(
                    self.launcher, program, [name or command[0], *command[1:]], {**made.caps, **(caps or {})},
                    name=command[0], slots=True, heap=heap,
                )  # fmt: skip
            finally:
                await given_up(program)
            if self.notification:
                await made.process.watch(Cap(self.notification))
        except Exception:
            await self.end(made)
            raise
        self.running.append(made)
        return made

    async def cap_for(self, running: Running, session: int) -> Cap:
        """A cap to one that serves sessions (``Translator.begin``), for a client of its own. It ends with it."""
        slots, name = self.inbox.slots, f"session {session}"
        if name not in running.caps:
            running.caps[name] = slots.alloc()
            await stubs.cnode_mint(
                self.inbox.sys, slots.cnode, dest_index=running.caps[name], dest_depth=slots.depth,
                src_root=slots.cnode, src_index=running.endpoint, src_depth=slots.depth, rights=CLIENT_RIGHTS,
                badge=ENDPOINT_BADGE | session,
            )  # fmt: skip
        return Cap(running.caps[name])

    async def tidy(self) -> list[Running]:
        """End those that have died, and return them."""
        dead = [each for each in self.running if (await each.process.status()).is_over]
        for each in dead:
            await self.end(each)
        return dead

    async def end(self, running: Running) -> None:
        """End a translator. Its clients' calls are answered, its caps are nobody's any more."""
        if running in self.running:
            self.running.remove(running)
        if running.process is not None:
            await given_up(running.process)
        for name in REPLIES:
            if name in running.caps:
                # Whoever waits in it is answered; nobody need wait.
                await self.inbox.sys.send(running.caps[name], Message(SERVER_DIED))
        await self.account.release(running.number)
        await running.memory.forget()
        for slot in (running.untyped, *running.caps.values()):
            self.inbox.slots.free(slot)

    async def _objects(self) -> Running:
        """A page, and an endpoint and reply objects in it. Raises QuotaExceeded."""
        number = next(self._numbers)
        memory: Any = await self.account.allocate(number, PAGE, Use.OBJECTS)
        running = Running(number, memory, await memory.untyped(0), {})
        for name, kind in OBJECTS:
            slot = self.inbox.slots.alloc()
            running.caps[name] = slot
            await stubs.untyped_retype(
                self.inbox.sys, running.untyped, object_type=kind, size_bits=0, root=self.inbox.slots.cnode,
                node_index=0, node_depth=0, node_offset=slot, num_objects=1,
            )  # fmt: skip
        return running
