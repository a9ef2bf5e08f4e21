"""The fields of many objects in one flat list, and which of the objects have others than at the last look.

The garbage collector knows what an object refers to, and says it of all of them seven times as fast as look-ups would.
"""

import gc
from itertools import compress
from operator import is_not
from typing import Any

from specs.invariants import hidden


class Flat:
    """The fields of these objects at the last look: which values they were, not what has changed inside of them."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self._seen = gc.get_referents(*items)
        self._numbers = _numbers(items)
        self._owners = [place for place, item in enumerate(items) for _ in gc.get_referents(item)]
        """By the place of a value, the place of the object whose it is."""
        self._owners_of_numbers = [place for place, item in enumerate(items) for _ in _numbers([item])]

    def copy(self) -> "Flat":
        """Another that has seen the same."""
        other = Flat([])
        other.items, other._seen, other._numbers = list(self.items), list(self._seen), list(self._numbers)
        other._owners, other._owners_of_numbers = list(self._owners), list(self._owners_of_numbers)
        return other

    def extend(self, items: list[Any]) -> None:
        """See these objects, too, as they are now."""
        more, first = Flat(items), len(self.items)
        self.items += items
        self._seen += more._seen
        self._numbers += more._numbers
        self._owners += [first + place for place in more._owners]
        self._owners_of_numbers += [first + place for place in more._owners_of_numbers]

    def differing(self) -> list[Any]:
        """Look anew: the objects of which some field is another value now, in their order."""
        seen, places = gc.get_referents(*self.items), set[int]()
        if seen != self._seen:
            if len(seen) == len(self._seen):
                places.update(compress(self._owners, map(is_not, seen, self._seen)))
            else:
                places.update(range(len(self.items)))
            self._seen = seen
        places.update([self._owners_of_numbers[place] for place in hidden.renew(self.items, self._numbers)])
        return [self.items[place] for place in sorted(places)]


def _numbers(items: list[Any]) -> list[int]:
    found: list[int] = []
    hidden.renew(items, found)
    return found
