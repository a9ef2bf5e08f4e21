"""The active translators of a file server: which endpoint is on which node, and who starts those that are passive.

A translator's endpoint comes without a badge. Each client is given a copy whose badge says in which of the file
server's sessions the client is, and which rights it has to the node: so a translator tells its clients apart, and the
mode of the node counts for what its translator serves. The file server itself never calls a translator.
"""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final, TypeVar, cast

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import Busy, Malformed, NotFound, ServerDied, Unsupported
from capkernel.protocols.files import READ_WRITE
from capkernel.protocols.hurd import Nodes, TranslatorStarter, translator_session
from capkernel.protocols.hurd_auth import Auth, Claim, Ids
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.service import CLIENT_RIGHTS, Service
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.loop import ENDPOINT_BADGE
from servers.hurd.nodes import NodeDirectory, NodeTree, Viewer
from servers.hurd.proving import given_up
from servers.hurd.records import Record
from servers.storage.tree import Node

T = TypeVar("T")
ALL: Final = 0
"""In place of a place: all."""


class Translators:
    """Those of one file server. ``starter`` is None if it starts none, ``auth`` if it learns nobody's ids.

    ``session`` is the one in which the starter's caps are; ``inbox`` where clients' caps land.
    """

    def __init__(
        self, inbox: Inbox, *, starter: TranslatorStarter | None = None, auth: Auth | None = None, session: int = 0
    ) -> None:
        self.inbox = inbox
        self.starter = starter
        self.auth = auth
        self.session = session
        self.tree: NodeTree | None = None
        self.service: Any = None
        self.active: dict[Node, int] = {}
        self.places: dict[Node, tuple[int, list[Nodes]]] = {}
        """The numbers of nodes whose passive translators were started, and what these were given: ``at``, ``root``."""
        self._numbers = count(1)

    async def serve(self, tree: NodeTree, service: Service) -> None:
        """For these nodes. What runs was started for a former life of this server, and ends."""
        self.tree, self.service = tree, service
        if self.starter is not None:
            await self.starter.stop(ALL)

    def is_active(self, node: Node) -> bool:
        """Whether one is on a node, as far as is known: it may have died."""
        return node in self.active or node in self.places

    async def reach(self, node: Node, record: Record, viewer: Viewer, rights: int, kind: Any) -> Any:
        """A cap to the translator, as an object of that kind; None if there is none."""
        attached = self.active.get(node)
        if attached is not None:
            try:
                return await self._badged(attached, viewer, rights, kind)
            except KernelError:
                # Whoever made the endpoint has destroyed it.
                await self._unpin(node, self.active)
                await self.refuse(attached)
        if not record.command or self.starter is None:
            return None
        endpoint = await self._started(self.starter, node, record)
        try:
            return await self._badged(endpoint, viewer, rights, kind)
        finally:
            await self.refuse(endpoint)

    async def attach(self, node: Node, translator: int) -> None:
        """Put one on a node. Raises Busy, Malformed."""
        try:
            if self.is_active(node):
                raise Busy(f"a translator is active on {node.name}")
            tried: Any = await self._badged(translator, Viewer(self.session), READ_WRITE, Interface)
            await tried.forget()
        except KernelError:
            await self.refuse(translator)
            raise Malformed("a translator is an endpoint without a badge") from None
        except Busy:
            await self.refuse(translator)
            raise
        self.active[node] = translator
        node.users += 1

    async def detach(self, node: Node) -> None:
        """Take it away. Raises NotFound."""
        if node in self.active:
            await self.refuse(await self._unpin(node, self.active))
        elif node in self.places and self.starter is not None:
            await self.starter.stop(await self._forget(node))
        else:
            raise NotFound(f"no translator is active on {node.name or 'this directory'}")

    async def refuse(self, cap: int) -> None:
        """Give a cap up."""
        await self.inbox.discard(cap)

    async def authenticate(self, claim: int, found: Callable[[Ids], Nodes], session: int) -> None:
        """Let the owner of a claim have what is found for its ids.

        ServerDied if the auth server died over the claim: it may have counted, and nothing will be left for it.
        """
        try:
            if self.auth is None:
                raise Unsupported("this server trusts no auth server")
            acceptance: Any = await self.accepted(self.auth, claim)
        except ServerDied:
            # Perhaps there is an acceptance that nobody has: no other is in use now.
            await insist(cast("Stub", self.auth).revoke)
            raise
        finally:
            await self.refuse(claim)
        try:
            ids: Any = await insist(acceptance.ids)
            await self._handed(found(ids), session, lambda cap: insist(acceptance.leave, Cap(cap)))
        finally:
            await given_up(acceptance)

    async def accepted(self, auth: Auth, claim: int) -> Any:
        """Ask whose a claim is. Raises what ``Auth.accept`` does."""
        return await auth.accept(connect(Claim, Connection(self.inbox.sys), claim))

    async def _started(self, starter: TranslatorStarter, node: Node, record: Record) -> int:
        """The endpoint of a passive translator, which is started if it does not run."""
        if node in self.places:
            try:
                return int(await starter.running(self.places[node][0]))
            except NotFound:
                await self._forget(node)
        if node.parent is None or self.tree is None:
            raise Unsupported("the root has no translator")
        place = next(self._numbers)
        ids = Ids((record.owner,), (record.group,))
        allowed = self.tree.allows(await self.tree.record(node.parent), ids)
        at = NodeDirectory(self.tree, node.parent, allowed, Viewer(self.session, ids))
        root = self.tree.directory_for(Viewer(self.session))
        connection, command = Connection(self.inbox.sys, self.inbox), list(record.command)
        await self._handed(root, self.session, lambda cap: starter.root(connect(Nodes, connection, cap)))
        try:
            started = await self._handed(
                at, self.session,
                lambda cap: starter.start(place, record.owner, node.name, command, connect(Nodes, connection, cap)),
            )  # fmt: skip
        except Exception:
            await self._taken_back(root)
            raise
        self.places[node] = place, [at, root]
        node.users += 1
        return int(started)

    async def _forget(self, node: Node) -> int:
        """A passive translator runs no more, and may no more do what it might; returns its number."""
        place, given = await self._unpin(node, self.places)
        for each in given:
            await self._taken_back(each)
        return place

    async def _taken_back(self, servant: Interface) -> None:
        """Nobody has a cap to an object of this server's any more."""
        self.service.revoke(servant)
        await servant.closed()

    async def _unpin(self, node: Node, table: dict[Node, T]) -> T:
        """Forget what is in a table for a node."""
        found = table.pop(node)
        node.users -= 1
        if self.tree is not None:
            self.tree.forget_unused(node)
        return found

    async def _handed(self, servant: Interface, session: int, use: Callable[[int], Awaitable[Any]]) -> Any:
        """Do something with a cap to an object of this server's that another server is to have. If it fails nobody has
        one. Raises Gone, QuotaExceeded, and what ``use`` raises.
        """
        entry = self.service.give(servant, session)
        slot = self.inbox.slots.alloc()
        await self.service.mint(entry, slot)
        try:
            return await use(slot)
        except Exception:
            await self._taken_back(servant)
            raise
        finally:
            await self.refuse(slot)

    async def _badged(self, endpoint: int, viewer: Viewer, rights: int, kind: Any) -> Any:
        """A translator's endpoint for one client. Raises KernelError if it cannot be given a badge."""
        slots = self.inbox.slots
        slot = slots.alloc()
        try:
            await stubs.cnode_mint(
                self.inbox.sys, slots.cnode, dest_index=slot, dest_depth=slots.depth, src_root=slots.cnode,
                src_index=endpoint, src_depth=slots.depth, rights=CLIENT_RIGHTS,
                badge=ENDPOINT_BADGE | translator_session(viewer.session, rights),
            )  # fmt: skip
        except KernelError:
            slots.free(slot)
            raise
        return connect(kind, Connection(self.inbox.sys, self.inbox), slot, is_owned=True)
