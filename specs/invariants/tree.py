"""The capability derivation tree, rebuilt from the list that the kernel keeps.

The list is in prefix order. A stack of open ancestors gives each slot its parent and, for each slot, the run of slots
behind it that are its descendants. Whatever is wrong with the list itself is collected in ``faults``.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from capkernel.kernel.caps import UntypedCap
from capkernel.kernel.objects import NULL, Slot
from specs.invariants.regions import begets


class Place:
    """Where a slot stands: list and position, the end of its descendants, its parent, how many untypeds are above."""

    def __init__(self, chain: int, position: int) -> None:
        self.chain, self.position, self.end = chain, position, position + 1
        self.parent: Slot | None = None
        self.untypeds = 0


@dataclass
class Tree:
    """All slots that hold caps, by place; ``faults`` are broken links, ``crossings`` broken nesting.

    Of the ``chains`` those from ``grown`` on are not taken over from another tree.
    """

    places: dict[Slot, Place] = field(default_factory=dict)
    chains: list[list[Slot]] = field(default_factory=list)
    faults: list[tuple[str, Slot]] = field(default_factory=list)
    crossings: list[tuple[Slot, Slot]] = field(default_factory=list)
    grown: int = 0

    def is_descendant(self, slot: Slot, ancestor: Slot) -> bool:
        """Whether ``slot`` was derived, directly or not, from what is in ``ancestor``."""
        here, above = self.places[slot], self.places[ancestor]
        return here.chain == above.chain and above.position < here.position < above.end

    def has_children(self, slot: Slot) -> bool:
        """Whether anything was derived from what is in ``slot``."""
        place = self.places[slot]
        return place.end > place.position + 1

    def descendants(self, slot: Slot) -> list[Slot]:
        """All that was derived from what is in ``slot``."""
        place = self.places[slot]
        return self.chains[place.chain][place.position + 1 : place.end]


def build(slots: list[Slot]) -> Tree:
    """Rebuild the tree over all non-empty slots."""
    tree = Tree()
    _grow(tree, slots, {})
    return tree


def regrow(old: Tree, slots: list[Slot], changed: Iterable[Slot]) -> Tree:
    """The tree over all non-empty slots after some have changed, from one without faults.

    Lists in which none of these was or is are as they were. Where anything is wrong the whole tree is rebuilt, so that
    the same is said of it.
    """
    places, chains = dict(old.places), list(old.chains)
    due = dict.fromkeys([slot for slot in changed if slot.cap is not NULL])
    for number in {places[slot].chain for slot in changed if slot in places}:
        for slot in chains[number]:
            del places[slot]
            if slot.cap is not NULL:
                due[slot] = None
        chains[number] = []
    tree = Tree(places, chains, grown=len(chains))
    _grow(tree, due, {**old.places, **dict.fromkeys(changed)})
    return build(slots) if tree.faults or tree.crossings else tree


_Known = Mapping[Slot, Place | None]
"""Where slots stood in a tree without faults; None for those that have changed since."""


def _grow(tree: Tree, slots: Collection[Slot], known: _Known) -> None:
    """Take in all lists of these slots."""
    for slot in slots:
        if slot.prev is None:
            _follow(tree, slot, known)
    for slot in slots:
        if slot not in tree.places:
            tree.faults.append(("stands in no list that has a head: its links form a cycle", slot))
            tree.places[slot] = Place(-1, 0)


def _follow(tree: Tree, head: Slot, known: _Known) -> None:
    """Take in one list, from its head to its end or to where it breaks."""
    chain: list[Slot] = []
    index = len(tree.chains)
    slot: Slot | None = head
    while slot is not None:
        if slot in tree.places:
            tree.faults.append(("is linked to from two places", slot))
            break
        if slot.cap is NULL:
            tree.faults.append(("holds no cap but is linked into a list", slot))
            break
        tree.places[slot] = Place(index, len(chain))
        chain.append(slot)
        after = slot.next
        if after is not None and after.prev is not slot:
            tree.faults.append(("is not linked back to by the slot behind it", slot))
            if after in tree.places:
                break
        slot = after
    tree.chains.append(chain)
    _nest(tree, chain, known)


def _nest(tree: Tree, chain: list[Slot], known: _Known) -> None:
    """Give each slot of a list its parent and the end of its descendants."""
    places = tree.places
    ancestors: list[Slot] = []
    as_before: set[Slot | None] = {None}
    for position, slot in enumerate(chain):
        while ancestors and not begets(ancestors[-1], slot):
            places[ancestors.pop()].end = position
        place, before = places[slot], known.get(slot)
        if ancestors:
            place.parent = parent = ancestors[-1]
            place.untypeds = places[parent].untypeds + (type(parent.cap) is UntypedCap)
        if before is not None and before.parent is place.parent and place.parent in as_before:
            as_before.add(slot)
        else:
            # An ancestor further up must be one as well, else the kernel would stop short of this slot.
            for above in ancestors[:-1]:
                if not begets(above, slot):
                    tree.crossings.append((above, slot))
        ancestors.append(slot)
    for slot in ancestors:
        places[slot].end = len(chain)
