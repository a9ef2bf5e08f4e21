"""A mapper with a mistake: it lets rights grow, in the tree and in the caps, which it makes from the frame's own."""

from capkernel.protocols.l4 import RWX, Fpage
from servers.l4 import mapper
from servers.l4.mapping_tree import Node


class Mapper(mapper.Mapper):
    """The mistake: what is mapped from has all rights."""

    async def map(self, source: int, fpage: Fpage, space: int, base: int) -> int:
        """Map with the rights that are asked for."""
        for node in self.tree.within(source, fpage):
            node.rights = RWX
        return await super().map(source, fpage, space, base)

    async def copy(self, node: Node, rights: int) -> int:
        """A copy of the frame's cap."""
        while node.parent is not None:
            node = node.parent
        return await super().copy(node, rights)


class Program(mapper.Program):
    """The server."""

    make = Mapper
