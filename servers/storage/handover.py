"""The caps to files and directories that a file server has given out, written down for the program after it.

What a cap is to its client stays (``protocols.given``), with its rights, and where what it leads to is now.
"""

from attrs import frozen

from capkernel.protocols.files import Kind
from capkernel.protocols.given import GivenCap, given_caps, restore_given
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
class KeptCaps:
    """All that a file server has given out."""

    objects: list[KeptObject]
    caps: list[GivenCap]


def keep_caps(service: Service) -> KeptCaps:
    """What is open in a file server."""
    servants, caps = given_caps(service)
    return KeptCaps([_object(servant) for servant in servants], caps)


def _object(servant: object) -> KeptObject:
    if not isinstance(servant, TreeFile | TreeDirectory):
        raise TypeError(f"a file server gives out files and directories, no {type(servant).__name__}")
    node = servant.node
    return KeptObject(node.kind, "" if node.is_removed else node.path, servant.rights, node.is_removed)


def restore_caps(kept: KeptCaps, tree: Tree, service: Service) -> None:
    """Let the caps lead where they led. Raises ValueError if no former life can have written this down."""
    restore_given(service, [_servant(tree, each) for each in kept.objects], kept.caps)


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
