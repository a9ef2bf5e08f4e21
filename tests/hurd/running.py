"""Nodes without a kernel: servants of a file system in memory, whose methods make no system call."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ_WRITE
from capkernel.protocols.hurd_auth import Ids
from servers.hurd.attached import Translators
from servers.hurd.nodes import NodeDirectory, NodeTree, Viewer
from servers.storage.ram_volume import RamVolume

T = TypeVar("T")
ROOT = Ids((0,), (0,))


def done(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it made a system call")


def failure(work: Coroutine[Any, Any, Any]) -> str:
    """The name of the failure that it raises, or "" if it raises none."""
    try:
        done(work)
    except Failure as found:
        return type(found).__name__
    return ""


def tree(limit: int = 1 << 16) -> NodeTree:
    """An empty file system."""
    return NodeTree(RamVolume(limit), Translators(None))


def directory(nodes: NodeTree, ids: Ids, rights: int = READ_WRITE, limit: int = READ_WRITE) -> NodeDirectory:
    """Its root, for somebody."""
    return NodeDirectory(nodes, nodes.root, rights & limit, Viewer(2, ids, limit))
