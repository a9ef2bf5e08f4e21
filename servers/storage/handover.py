"""The caps to files and directories that a file server has given out, written down for the program after it.

What a cap is to its client stays: its number in the badge, its session, what it is below, its rights, and where what it
leads to is now. A cap that was closed or revoked is not written down, and leads to nothing afterwards, too.
"""

from attrs import frozen

from capkernel.protocols.files import Kind
from capkernel.protocols.service import Service
from servers.storage.tree import Node, Tree, TreeDirectory, TreeFile


@frozen
class KeptObject:
    """A file or a directory with rights; what was removed has no path any more."""

    kind: Kind
    path: str
    rights: int
    is_removed: bool


@frozen
class KeptCap:
    """A cap: its number, its session, the number of what it is below, which object it leads to."""

    number: int
    session: int
    parent: int
    is_derived: bool
    servant: int


@frozen
class KeptCaps:
    """All that a file server has given out."""

    objects: list[KeptObject]
    caps: list[KeptCap]


def keep_caps(service: Service) -> KeptCaps:
    """What is open in a file server. Its sessions' own caps are not part of it: the next program has them, too."""
    entries = sorted((entry for entry in service.entries() if entry.number), key=lambda entry: entry.number)
    servants = list({id(entry.servant): entry.servant for entry in entries}.values())
    places = {id(servant): place for place, servant in enumerate(servants)}
    caps = [
        KeptCap(
            entry.number, entry.session, entry.parent.number if entry.parent else 0, entry.is_derived,
            places[id(entry.servant)],
        )
        for entry in entries
    ]  # fmt: skip
    return KeptCaps([_object(servant) for servant in servants], caps)


def _object(servant: object) -> KeptObject:
    if not isinstance(servant, TreeFile | TreeDirectory):
        raise TypeError(f"a file server gives out files and directories, no {type(servant).__name__}")
    node = servant.node
    return KeptObject(node.kind, "" if node.is_removed else node.path, servant.rights, node.is_removed)


def restore_caps(kept: KeptCaps, tree: Tree, service: Service) -> None:
    """Let the caps lead where they led. Raises ValueError if no former life can have written this down."""
    servants = [_servant(tree, each) for each in kept.objects]
    for cap in kept.caps:
        service.restore(servants[cap.servant], cap.session, cap.number, cap.parent, is_derived=cap.is_derived)


def _servant(tree: Tree, kept: KeptObject) -> TreeFile | TreeDirectory:
    node = _node(tree, kept)
    return TreeFile(tree, node, kept.rights) if kept.kind is Kind.FILE else TreeDirectory(tree, node, kept.rights)


def _node(tree: Tree, kept: KeptObject) -> Node:
    if kept.is_removed:
        node = Node(None, "", kept.kind)
        node.is_removed = True
        return node
    node = tree.root
    names = kept.path.split("/") if kept.path else []
    for place, name in enumerate(names, 1):
        kind = kept.kind if place == len(names) else Kind.DIRECTORY
        node = node.below.get(name) or tree.add(node, name, kind)
    return node
