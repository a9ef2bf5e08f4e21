"""File servers that look at a request in shared memory, and then read it once more to carry it out.

What was looked at needs no further look: a name is believed to be one. So whoever changes it in between walks along a
path, wherever that leads.
"""

from posixpath import join, normpath
from typing import Any

from capkernel.protocols.failures import Failure
from capkernel.protocols.files import checked_name
from capkernel.protocols.interface import Operation, interface_of, operation_of, operations_of
from capkernel.protocols.service import Entry, Service
from capkernel.protocols.wire import pack_failure, unpack_request
from capkernel.user.loop import PD
from capkernel.user.messages import label_of
from capkernel.user.syscalls import Message
from servers.storage.tree import Node, Tree
from servers.storage.volume_server import VolumeServer


class LookingService(Service):
    """A service that looks at each request before it begins with it."""

    async def protected(self, msg: Message) -> Any:
        """Serve a request in which all names are names."""
        try:
            entry = self._find(msg.badge)
            operation = operations_of(interface_of(type(entry.servant))).get(operation_of(label_of(msg)))
            if operation is not None:
                seen = Message(msg.label, msg.words)
                self._check(entry, operation, await unpack_request(operation, seen, self._region_of(entry)), msg)
        except Failure as failure:
            return await pack_failure(failure)
        return await super().protected(msg)

    def _check(self, entry: Entry, operation: Operation, values: dict[str, Any], msg: Message) -> None:
        """Raises a failure for what must not be carried out."""
        for name in [values[each.name] for each in operation.data if each.kind is str]:
            # The empty one asks for the directory itself.
            checked_name(name or "it")


class TrustingTree(Tree):
    """A tree in which a name may lead along a path."""

    async def find(self, parent: Node, name: str) -> Node:
        """What is there."""
        node = self.root
        for each in normpath(join("/", parent.path, name)).lstrip("/").split("/"):
            node = await super().find(node, each)
        return node


class TwiceReading(VolumeServer):
    """The server, for a file system of any kind."""

    service_kind = LookingService

    async def init(self, pd: PD) -> None:
        """Serve, and trust."""
        await super().init(pd)
        self.tree = TrustingTree(self.tree.volume)
