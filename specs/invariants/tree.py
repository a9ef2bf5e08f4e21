"""The capability derivation tree, rebuilt from the list that the kernel keeps.

The list is in prefix order. A stack of open ancestors gives each slot its parent and, for each slot, the run of slots
behind it that are its descendants. Whatever is wrong with the list itself is collected in ``faults``.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from capkernel.kernel.objects import NULL, Slot
from specs.invariants.regions import begets


@dataclass(slots=True)
class Place:
    """Where a slot stands: list and position, the end of its run of descendants, its parent."""

    chain: int
    position: int
    end: int
    parent: Slot | None


@dataclass
class Tree:
    """All slots that hold caps, by place; ``faults`` are broken links, ``crossings`` broken nesting.

    Of the ``chains`` those from ``grown`` on are not taken over from another tree.
    """

    places: dict[int, Place] = field(default_factory=dict)
    chains: list[list[Slot]] = field(default_factory=list)
    faults: list[tuple[str, Slot]] = field(default_factory=list)
    crossings: list[tuple[Slot, Slot]] = field(default_factory=list)
    grown: int = 0

    def is_descendant(self, slot: Slot, ancestor: Slot) -> bool:
        """Whether ``slot`` was derived, directly or not, from what is in ``ancestor``."""
        here, above = self.places[id(slot)], self.places[id(ancestor)]
        return here.chain == above.chain and above.position < here.position < above.end

    def has_children(self, slot: Slot) -> bool:
        """Whether anything was derived from what is in ``slot``."""
        place = self.places[id(slot)]
        return place.end > place.position + 1

    def descendants(self, slot: Slot) -> list[Slot]:
        """All that was derived from what is in ``slot``."""
        place = self.places[id(slot)]
        return self.chains[place.chain][place.position + 1 : place.end]


def build(slots: list[Slot]) -> Tree:
    """Rebuild the tree over all non-empty slots."""
    tree = Tree()
    _grow(tree, slots)
    return tree


def regrow(old: Tree, slots: list[Slot], changed: Iterable[Slot]) -> Tree:
    """The tree over all non-empty slots after some have changed, from one without faults.

    Lists in which none of these was or is are as they were. Where anything is wrong the whole tree is rebuilt, so that
    the same is said of it.
    """
    places, chains = dict(old.places), list(old.chains)
    due = {id(slot): slot for slot in changed if slot.cap is not NULL}
    for number in {places[id(slot)].chain for slot in changed if id(slot) in places}:
        for slot in chains[number]:
            del places[id(slot)]
            if slot.cap is not NULL:
                due[id(slot)] = slot
        chains[number] = []
    tree = Tree(places, chains, grown=len(chains))
    _grow(tree, due.values())
    return build(slots) if tree.faults or tree.crossings else tree


def _grow(tree: Tree, slots: Collection[Slot]) -> None:
    """Take in all lists of these slots."""
    for slot in slots:
        if slot.prev is None:
            _follow(tree, slot)
    for slot in slots:
        if id(slot) not in tree.places:
            tree.faults.append(("stands in no list that has a head: its links form a cycle", slot))
            tree.places[id(slot)] = Place(-1, 0, 1, None)


def _follow(tree: Tree, head: Slot) -> None:
    """Take in one list, from its head to its end or to where it breaks."""
    chain: list[Slot] = []
    index = len(tree.chains)
    slot: Slot | None = head
    while slot is not None:
        if id(slot) in tree.places:
            tree.faults.append(("is linked to from two places", slot))
            break
        if slot.cap is NULL:
            tree.faults.append(("holds no cap but is linked into a list", slot))
            break
        tree.places[id(slot)] = Place(index, len(chain), 0, None)
        chain.append(slot)
        after = slot.next
        if after is not None and after.prev is not slot:
            tree.faults.append(("is not linked back to by the slot behind it", slot))
            if id(after) in tree.places:
                break
        slot = after
    tree.chains.append(chain)
    _nest(tree, chain)


def _nest(tree: Tree, chain: list[Slot]) -> None:
    """Give each slot of a list its parent and the end of its descendants."""
    places = tree.places
    ancestors: list[Slot] = []
    for position, slot in enumerate(chain):
        while ancestors and not begets(ancestors[-1], slot):
            places[id(ancestors.pop())].end = position
        if ancestors:
            places[id(slot)].parent = ancestors[-1]
            # An ancestor further up must be one as well, else the kernel would stop short of this slot.
            for above in ancestors[:-1]:
                if not begets(above, slot):
                    tree.crossings.append((above, slot))
        ancestors.append(slot)
    for slot in ancestors:
        places[id(slot)].end = len(chain)
