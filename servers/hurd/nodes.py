"""Caps to nodes: whose a node is, as whom a cap is used, and where a node's translator is.

A cap has *rights*, which were checked when it was opened and say what may be done to this very node; *ids*, which
decide what is opened below it; and a *limit*, rights beyond which nothing below it goes whatever the ids allow
(``restrict``).
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from attrs import evolve, frozen

from capkernel.protocols.failures import Busy, Malformed, NotEmpty, NotFound, NotPermitted, WrongKind
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Directory, Entry, File, Info, Kind, checked_name
from capkernel.protocols.hurd import NodeFile, Nodes, Ownership, Translation
from capkernel.protocols.hurd_auth import Ids, checked_ids
from capkernel.protocols.interface import Cap
from servers.hurd.records import HIDDEN, THIS, Record, Records, joined, made_by
from servers.storage.tree import Node, Tree, TreeDirectory, TreeFile, Volume

NOBODY: Final = Ids()


@frozen
class Viewer:
    """Who uses a cap: in which session, with which ids, and within which limit of rights."""

    session: int
    ids: Ids = NOBODY
    limit: int = READ_WRITE


class Attached(Protocol):
    """The active translators of a file server."""

    async def reach(self, node: Node, record: Record, viewer: Viewer, rights: int, kind: Any) -> Any:
        """A cap to the translator of a node, or None if it has none; a passive one is started."""
        ...

    def is_active(self, node: Node) -> bool:
        """Whether one is on it."""
        ...

    async def attach(self, node: Node, translator: int) -> None:
        """Put one on it. Raises Busy."""
        ...

    async def detach(self, node: Node) -> None:
        """Take it away. Raises NotFound."""
        ...

    async def refuse(self, cap: int) -> None:
        """Give up a cap that a client handed over."""
        ...

    async def authenticate(self, claim: int, found: Callable[[Ids], Nodes], session: int) -> None:
        """Leave a cap to what ``found`` says for a claim's ids with the auth server. Raises failures."""
        ...


class NodeTree(Tree):
    """A volume of nodes. ``checks`` says whether owners and modes count; without them it is for those who trust all."""

    def __init__(self, volume: Volume, attached: Attached, *, checks: bool = True) -> None:
        super().__init__(volume)
        self.records = Records(volume)
        self.attached = attached
        self.checks = checks

    async def listing(self, path: str, *, is_continued: bool) -> list[Entry]:
        """What is in a directory, without the file server's own."""
        return [each for each in await super().listing(path, is_continued=is_continued) if each.name not in HIDDEN]

    async def record(self, node: Node) -> Record:
        """What is kept with a node."""
        if node.parent is None:
            return await self.records.of(node.path, THIS, Kind.DIRECTORY)
        return await self.records.of(node.parent.path, node.name, node.kind)

    async def keep(self, node: Node, record: Record) -> None:
        """Keep something else with it."""
        name = node.name if node.parent is not None else THIS
        above = node.parent.path if node.parent is not None else node.path
        await self.change(self.records.keep(above, name, record))

    def allows(self, record: Record, ids: Ids) -> int:
        """The rights that ids have to a node."""
        return record.rights(ids) if self.checks else READ_WRITE

    def need_owner(self, record: Record, ids: Ids) -> None:
        """Raise NotPermitted unless it is theirs."""
        if self.checks and not record.is_owned_by(ids):
            raise NotPermitted(f"this node is of user {record.owner}, not of {list(ids.uids)}")

    def directory_for(self, viewer: Viewer, rights: int = READ) -> Nodes:
        """The root, for somebody."""
        return NodeDirectory(self, self.root, rights & viewer.limit, viewer)


class OpenNodeFile(TreeFile, NodeFile):
    """A file."""

    tree: NodeTree

    def __init__(self, tree: NodeTree, node: Node, rights: int, viewer: Viewer) -> None:
        super().__init__(tree, node, rights)
        self.viewer = viewer

    async def restrict(self, rights: int) -> File:
        """The same with fewer rights."""
        return OpenNodeFile(self.tree, self.node, self.limited(rights), self.viewer)

    async def restrict_ids(self, ids: Ids) -> NodeFile:
        """The same with fewer ids, and what rights they leave."""
        viewer = evolve(self.viewer, ids=self.viewer.ids.common(checked_ids(ids)))
        allowed = self.tree.allows(await self.tree.record(self.node), viewer.ids)
        return OpenNodeFile(self.tree, self.node, self.rights & allowed, viewer)


class NodeDirectory(TreeDirectory, Nodes):
    """A directory."""

    tree: NodeTree

    def __init__(self, tree: NodeTree, node: Node, rights: int, viewer: Viewer) -> None:
        super().__init__(tree, node, rights)
        self.viewer = viewer

    # What Directory has

    async def open(self, name: str, rights: int) -> File:
        """A file in it, or what its translator serves."""
        opened: File = await self._followed(name, rights, File, self.underlying)
        return opened

    async def directory(self, name: str, rights: int) -> Directory:
        """A directory in it, or what its translator serves."""
        opened: Directory = await self._followed(name, rights, Directory, self.underlying_directory)
        return opened

    async def create(self, name: str) -> File:
        """A new file in it, its maker's."""
        return OpenNodeFile(self.tree, await self._new(name, Kind.FILE), READ_WRITE & self.viewer.limit, self.viewer)

    async def make_directory(self, name: str) -> Directory:
        """A new directory in it, its maker's."""
        node = await self._new(name, Kind.DIRECTORY)
        return NodeDirectory(self.tree, node, READ_WRITE & self.viewer.limit, self.viewer)

    async def info(self, name: str) -> Info:
        """What a name in it leads to, below its translator."""
        self._visible(name)
        return await super().info(name)

    async def remove(self, name: str) -> None:
        """Remove something of one's own, or in a directory of one's own."""
        self.need(WRITE)
        node = await self.tree.find(self.node, self._visible(name))
        if self.tree.attached.is_active(node):
            raise Busy(f"a translator is active on {name}")
        path = self.node.path
        if node.kind is Kind.DIRECTORY:
            if not await self.tree.records.is_empty(node.path):
                raise NotEmpty(f"{name} is not empty")
            await self.tree.records.clear(node.path)
        await super().remove(name)
        await self.tree.change(self.tree.records.forget(path, name))

    async def rename(self, name: str, to: Directory, new_name: str) -> None:
        """Move something, with what is kept with it."""
        self.need(WRITE)
        self._visible(new_name)
        if not isinstance(to, NodeDirectory) or to.tree is not self.tree:
            raise Malformed("the other directory is not in this file system")
        node = await self.tree.find(self.node, self._visible(name))
        if (to.node, new_name) == (self.node, name):
            return
        records, old, new = self.tree.records, self.node.path, to.node.path
        # First the new place is told whose it will be: whatever fails then, the node never is nobody's.
        record, there = await self.tree.record(node), await records.of(new, new_name, node.kind)
        await records.keep(new, new_name, record)
        try:
            await super().rename(name, to, new_name)
        except Exception:
            await records.keep(new, new_name, there)
            raise
        await self.tree.change(records.forget(old, name))

    async def restrict(self, rights: int) -> Directory:
        """The same with fewer rights, here and below."""
        limit = self.viewer.limit & rights
        return NodeDirectory(self.tree, self.node, self.limited(rights), evolve(self.viewer, limit=limit))

    async def adopt(self, file: File, rights: int) -> File:
        """A file of somebody else's, opened here."""
        adopted = await super().adopt(file, rights)
        await adopted.closed()
        return OpenNodeFile(self.tree, file.node, rights, self.viewer) if isinstance(file, OpenNodeFile) else adopted

    # What only nodes have

    async def ids(self) -> Ids:
        """As whom."""
        return self.viewer.ids

    async def reauthenticate(self, claim: Cap) -> None:
        """As somebody else, if the auth server says so."""
        await self.tree.attached.authenticate(claim, self._as, self.viewer.session)

    def _as(self, ids: Ids) -> Nodes:
        return NodeDirectory(self.tree, self.node, self.rights, evolve(self.viewer, ids=ids))

    async def restrict_ids(self, ids: Ids) -> Nodes:
        """The same with fewer ids, and what rights they leave."""
        viewer = evolve(self.viewer, ids=self.viewer.ids.common(checked_ids(ids)))
        allowed = self.tree.allows(await self.tree.record(self.node), viewer.ids)
        return NodeDirectory(self.tree, self.node, self.rights & allowed, viewer)

    async def ownership(self, name: str) -> Ownership:
        """Whose."""
        record = await self.tree.record(await self._node(name))
        return Ownership(record.owner, record.group, record.mode)

    async def set_ownership(self, name: str, ownership: Ownership) -> None:
        """Somebody else's, or for others."""
        node, record = await self._own(name)
        changed = record.owned(ownership)
        is_given = changed.owner != record.owner or changed.group not in (record.group, *self.viewer.ids.gids)
        if is_given and self.tree.checks and not self.viewer.ids.is_root:
            raise NotPermitted("only uid 0 gives nodes to others")
        await self.tree.keep(node, changed)

    async def translation(self, name: str) -> Translation:
        """What is set."""
        node = await self._node(name)
        return Translation(list((await self.tree.record(node)).command), self.tree.attached.is_active(node))

    async def set_passive(self, name: str, command: list[str]) -> None:
        """Set a command line."""
        node, record = await self._own(name)
        await self.tree.keep(node, record.translated(command))
        if record.command and self.tree.attached.is_active(node):
            await self.tree.attached.detach(node)

    async def attach(self, name: str, translator: Cap) -> None:
        """Set an active one."""
        try:
            node, _ = await self._own(name)
        except Exception:
            await self.tree.attached.refuse(translator)
            raise
        await self.tree.attached.attach(node, translator)

    async def detach(self, name: str) -> None:
        """Take it away."""
        node, _ = await self._own(name)
        await self.tree.attached.detach(node)

    async def underlying(self, name: str, rights: int) -> NodeFile:
        """The file itself."""
        node = await self._permitted(name, rights, Kind.FILE)
        return OpenNodeFile(self.tree, node, rights, self.viewer)

    async def underlying_directory(self, name: str, rights: int) -> Nodes:
        """The directory itself."""
        node = await self._permitted(name, rights, Kind.DIRECTORY)
        return NodeDirectory(self.tree, node, rights, self.viewer)

    # How

    def _visible(self, name: str) -> str:
        """A name that is not the file server's own. Raises NotFound."""
        if name in HIDDEN:
            raise NotFound(f"there is no {name}")
        return name

    async def _node(self, name: str) -> Node:
        return await self.tree.find(self.node, self._visible(name)) if name else self.node

    async def _own(self, name: str) -> tuple[Node, Record]:
        """A node that is one's own, through a cap that does not only look. Raises NotPermitted."""
        node = await self._node(name)
        record = await self.tree.record(node)
        if not self.viewer.limit & WRITE:
            raise NotPermitted("this cap does not allow to write")
        self.tree.need_owner(record, self.viewer.ids)
        return node, record

    async def _new(self, name: str, kind: Kind) -> Node:
        """A new node: what is kept with it is there before it is."""
        self.need(WRITE)
        if checked_name(name) in HIDDEN:
            raise Malformed(f"{name} is the file server's own name")
        if await self.tree.volume.info(joined(self.node.path, name)) is None:
            await self.tree.change(self.tree.records.keep(self.node.path, name, made_by(self.viewer.ids)))
        return await self._made(name, kind)

    async def _permitted(self, name: str, rights: int, kind: Kind | None = None) -> Node:
        """A node to which one has rights. Raises NotPermitted, WrongKind."""
        node = await self.tree.find(self.node, self._visible(name))
        if kind is not None and node.kind is not kind:
            self.tree.forget_unused(node)
            raise WrongKind(f"{name} is a {node.kind.value}")
        if not 0 <= rights <= READ_WRITE:
            raise Malformed(f"rights are {READ} (read), {WRITE} (write) or both, not {rights}")
        allowed = self.tree.allows(await self.tree.record(node), self.viewer.ids) & self.viewer.limit
        if rights & ~allowed:
            self.tree.forget_unused(node)
            raise NotPermitted(f"{name} is not for users {list(self.viewer.ids.uids)} to use like this")
        return node

    async def _followed(
        self, name: str, rights: int, kind: Any, underlying: Callable[[str, int], Awaitable[Any]]
    ) -> Any:
        """What a name leads to: its translator, or else itself."""
        node = await self._permitted(name, rights)
        node.users += 1
        try:
            record = await self.tree.record(node)
            found = await self.tree.attached.reach(node, record, self.viewer, rights, kind)
        finally:
            node.users -= 1
        return found if found is not None else await underlying(name, rights)
