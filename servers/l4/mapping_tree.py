"""Which page came of which: the tree of mappings, as L4's kernel keeps it in its mapping database.

A *node* is a page of a space. Its parent is the page that it was mapped from; a page of the root space has none. Rights
never grow on the way down. Nothing here touches a cap: ``mapper`` does, before or after it says so here.
"""

from collections.abc import Iterator

from attrs import define, field

from capkernel.abi.objects import PAGE_BYTES
from capkernel.protocols.l4 import SPACE_BITS, Fpage


@define(eq=False)
class Node:
    """A page of a space: where, with which rights, by the cap in which slot. ``below`` are those mapped from it."""

    space: int
    address: int
    rights: int
    slot: int
    parent: "Node | None" = None
    is_device: bool = False
    below: "dict[Node, None]" = field(factory=dict, repr=False)

    def is_from(self, other: "Node") -> bool:
        """Whether it is another node, or came of it, directly or not."""
        node: Node | None = self
        while node is not None:
            if node is other:
                return True
            node = node.parent
        return False

    def subtree(self) -> "Iterator[Node]":
        """This node and all that came of it, each before those below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.below)


class MappingTree:
    """All spaces, by number: their nodes by address."""

    def __init__(self) -> None:
        self.spaces: dict[int, dict[int, Node]] = {}

    def pages(self, space: int) -> dict[int, Node]:
        """The pages of a space by address."""
        return self.spaces.setdefault(space, {})

    def find(self, space: int, address: int) -> Node | None:
        """What a space has at a page's address."""
        return self.pages(space).get(address)

    def within(self, space: int, fpage: Fpage) -> list[Node]:
        """What a space has in a flexpage, by address."""
        pages = self.pages(space)
        if fpage.size // PAGE_BYTES > len(pages):
            return [pages[address] for address in sorted(pages) if address in fpage]
        return [pages[address] for address in range(fpage.address, fpage.end, PAGE_BYTES) if address in pages]

    def add(
        self, space: int, address: int, rights: int, slot: int, parent: Node | None = None, *, is_device: bool = False
    ) -> Node:
        """A new page. Raises ValueError if something is there, or it has rights that its parent lacks."""
        if self.find(space, address) is not None:
            raise ValueError(f"space {space} has a page at {address:#x}")
        if parent is not None and rights & ~parent.rights:
            raise ValueError(f"rights {rights:#x} come of {parent.rights:#x}")
        node = Node(space, address, rights, slot, parent, is_device if parent is None else parent.is_device)
        self.pages(space)[address] = node
        if parent is not None:
            parent.below[node] = None
        return node

    def remove(self, node: Node) -> None:
        """A page is gone. Raises ValueError if others came of it."""
        if node.below:
            raise ValueError(f"{len(node.below)} pages came of {node.address:#x} in space {node.space}")
        del self.pages(node.space)[node.address]
        if node.parent is not None:
            del node.parent.below[node]

    def move(self, node: Node, space: int, address: int) -> None:
        """A page is another space's from now on; what came of it stays below. Raises ValueError."""
        if self.find(space, address) is not None:
            raise ValueError(f"space {space} has a page at {address:#x}")
        del self.pages(node.space)[node.address]
        node.space, node.address = space, address
        self.pages(space)[address] = node


def fewest(nodes: list[Node]) -> list[tuple[Fpage, bool]]:
    """The fewest flexpages that cover these pages of one space, by address, and whether each is a device's."""
    found: list[tuple[Fpage, bool]] = []
    for node in sorted(nodes, key=lambda node: node.address):
        found.append((Fpage(node.address, rights=node.rights), node.is_device))
        # Two halves become one as long as there are two halves.
        while len(found) > 1 and _are_halves(*found[-2:]):
            low, is_device = found[-2]
            found[-2:] = [(Fpage(low.address, low.bits + 1, low.rights), is_device)]
    return found


def _are_halves(first: tuple[Fpage, bool], second: tuple[Fpage, bool]) -> bool:
    low, high = first[0], second[0]
    return (
        first[1] == second[1] and low.rights == high.rights and low.bits == high.bits < SPACE_BITS
        and low.address % (2 * low.size) == 0 and high.address == low.end
    )  # fmt: skip
