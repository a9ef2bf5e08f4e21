"""Walking a CSpace as the kernel does, but writing down each level, and what would have to be different."""

from attrs import frozen

from capkernel.abi import errors as err
from capkernel.abi.words import MASK, WORD_BITS
from capkernel.kernel.caps import CNodeCap
from capkernel.kernel.objects import NULL, Slot
from capkernel.tools.explain.census import place_of
from capkernel.tools.explain.describe import in_words, kind_name
from capkernel.tools.explain.missing import Address, Argument, CapOfKind, Guard, Missing, Place

BAD_DEPTH = -1
"""A failure that is no lookup failure: the depth is not 1 .. 64, which is a RangeError."""


@frozen
class Level:
    """One CNode on the way: its cap's place, and which slot the address names in it (None: it did not get so far)."""

    held_in: Place
    node: int
    radix: int
    guard: int
    guard_size: int
    bits_left: int
    index: int | None
    found: str

    def __str__(self) -> str:
        node = f"CNode@{self.node:#x} (guard {self.guard:#x}/{self.guard_size}, radix {self.radix})"
        if self.index is None:
            return f"{node}, {self.bits_left} bits left: {self.found}"
        return f"{node}, {self.bits_left} bits left, slot {self.index:#x}: {self.found}"


@frozen
class Walk:
    """An address and the levels that it led through. ``slot`` is where it ended, None if it failed."""

    what: str
    address: int
    depth: int
    levels: tuple[Level, ...]
    failure: int
    missing: Missing | None
    slot: Slot | None

    def data(self) -> dict[str, object]:
        """As JSON."""
        return {
            "what": self.what, "address": self.address, "depth": self.depth,
            "levels": [str(level) for level in self.levels],
            "slot": None if self.slot is None else str(place_of(self.slot)),
        }  # fmt: skip


def walk(
    root: Slot, address: int, depth: int = WORD_BITS, what: str = "cap", *, exact: bool = False,
    names: tuple[str, str] = ("", ""),
) -> Walk:  # fmt: skip
    """Follow an address from the CNode cap in ``root``. ``exact``: no bits may be left over (CNode operations).

    ``names`` are those of the index and depth arguments; without them the depth cannot be chosen.
    """
    return _Walker(root, address, depth, what, exact, names).run()


class _Walker:
    def __init__(self, root: Slot, address: int, depth: int, what: str, exact: bool, names: tuple[str, str]) -> None:
        self.held, self.address, self.depth, self.what = root, address, depth, what
        self.exact, self.names = exact, names
        self.levels: list[Level] = []

    def run(self) -> Walk:
        held, bits = self.held, self.depth
        if not isinstance(held.cap, CNodeCap):
            return self._failed(err.INVALID_ROOT, CapOfKind(place_of(held), in_words(held.cap), ("CNode",)))
        if self.exact and not 1 <= self.depth <= WORD_BITS:
            return self._failed(BAD_DEPTH, Argument(self.names[1], self.depth, 1, WORD_BITS))
        while True:
            cap = held.cap
            assert isinstance(cap, CNodeCap)
            level = cap.radix + cap.guard_size
            if cap.guard_size > bits or self.address >> (bits - cap.guard_size) & MASK[cap.guard_size] != cap.guard:
                self._note(held, cap, bits, None, "the guard does not match")
                return self._failed(err.GUARD_MISMATCH, self._right_guard(held, cap, bits))
            if level > bits:
                self._note(held, cap, bits, None, f"{level} bits are needed")
                return self._failed(err.DEPTH_MISMATCH, self._right_guard(held, cap, bits))
            bits -= level
            index = self.address >> bits & MASK[cap.radix]
            slot = cap.cnode.slot(index)
            self._note(held, cap, bits + level, index, in_words(slot.cap))
            if bits == 0 or not isinstance(slot.cap, CNodeCap):
                break
            held = slot
        if bits and self.exact:
            return self._failed(err.DEPTH_MISMATCH, self._shorter(bits))
        return Walk(self.what, self.address, self.depth, tuple(self.levels), 0, None, slot)

    def _note(self, held: Slot, cap: CNodeCap, bits: int, index: int | None, found: str) -> None:
        place = place_of(held)
        self.levels.append(Level(place, cap.cnode.paddr, cap.radix, cap.guard, cap.guard_size, bits, index, found))

    def _failed(self, failure: int, missing: Missing) -> Walk:
        return Walk(self.what, self.address, self.depth, tuple(self.levels), failure, missing, None)

    def _right_guard(self, held: Slot, cap: CNodeCap, bits: int) -> Missing:
        """The guard with which the address would end in this CNode, or at least go on through it."""
        place = place_of(held)
        if cap.guard_size + cap.radix <= bits:
            size = cap.guard_size
        elif cap.radix <= bits:
            size = bits - cap.radix
        elif self.exact:
            more = cap.radix + cap.guard_size - bits
            return Address(self.names[0], self.address << more & MASK[WORD_BITS], self.names[1], self.depth + more)
        else:
            return CapOfKind(place, in_words(cap), ("CNode",), f"of at most 2**{bits} slots")
        return Guard(place, cap.guard, cap.guard_size, self.address >> (bits - size) & MASK[size], size)

    def _shorter(self, left: int) -> Missing:
        return Address(self.names[0], self.address >> left, self.names[1], self.depth - left)


def holds_nothing(slot: Slot, *kinds: str, that: str = "") -> CapOfKind:
    """The slot must hold a cap of these kinds."""
    found = in_words(slot.cap) if slot.cap is not NULL else "nothing"
    return CapOfKind(place_of(slot), found, kinds or ("any object",), that)


def is_kind(slot: Slot, *kinds: str) -> bool:
    """Whether the slot holds a cap of one of these kinds."""
    return kind_name(slot.cap) in kinds
