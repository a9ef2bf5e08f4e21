"""What a label can see: its objects, caps and memory, its threads' registers, and its own turn's clock.

This is the equivalence ``~u~`` of the proofs (Murray et al. 2013, ``uwr``): two states look the same to a label if
their views are equal. Absolute time is not part of it, only the time since the label's turn began; what follows from
that is in docs/information-flow.md.
"""

import hashlib
import re
from typing import Any

from capkernel.kernel.state import PRIORITIES, State
from hwmodel.machine import Machine
from specs.invariants.authority import Policy
from specs.structure import Structure, structure

_NAME = re.compile(r"[A-Za-z]+@(0x[0-9a-f]+)(\[\d+\])?")
ELSEWHERE = "elsewhere"
"""In place of the name of an object that is not the label's."""


class Eye:
    """A label's eye on a state.

    ``domain`` is the domain in which the label's threads run, ``roots`` are objects of its own that lead to the others.
    """

    def __init__(self, label: str, domain: int, policy: Policy, roots: tuple[Any, ...]) -> None:
        self.label, self.domain, self.policy, self.roots = label, domain, policy, roots
        self.areas = [(start, end) for start, end, name in policy.areas if name == label]

    def view(self, state: State, machine: Machine, turn_began: int) -> Structure:
        """What the label sees. ``turn_began`` is the tick at which the current domain's turn began."""
        seen = structure(state, self._is_own, self.roots)
        seen.pop("State")
        for name, fields in seen.items():
            seen[name] = {key: self._masked(key, value) for key, value in fields.items()}
        seen["memory"] = {"digest": self._memory(machine)}
        first = self.domain * PRIORITIES
        ready = {n - first: [t.name for t in queue] for n, queue in state.ready.items() if first <= n < first + 256}
        seen["scheduler"] = {"ready": {n: names for n, names in sorted(ready.items()) if names}}
        if state.domain == self.domain:
            own = self.policy.label(state.current.paddr) == self.label
            seen["scheduler"] |= {
                "now": machine.now() - turn_began, "left": state.domain_time, "consumed": state.consumed,
                "current": state.current.name if own else "",
            }  # fmt: skip
        return seen

    def _is_own(self, item: Any) -> bool:
        """Whether to look at an object, or (the state itself, a queue, a refill) through it."""
        paddr = getattr(getattr(item, "container", item), "paddr", None)
        return paddr is None or self.policy.label(paddr) == self.label

    def _memory(self, machine: Machine) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for start, end in self.areas:
            digest.update(machine.memory.read(start, end - start))
        return digest.hexdigest()

    def _masked(self, key: str, value: Any) -> Any:
        if key == "refills":
            return [amount for _, amount in value]
        if isinstance(value, str):
            found = _NAME.fullmatch(value)
            foreign = found is not None and self.policy.label(int(found[1], 16)) != self.label
            return ELSEWHERE if foreign else value
        if isinstance(value, list | tuple):
            return type(value)(self._masked("", item) for item in value)
        return value


def difference(one: Structure, other: Structure) -> str:
    """The first thing in which two views differ, in words."""
    for name in sorted(one.keys() | other.keys()):
        here, there = one.get(name), other.get(name)
        if here == there:
            continue
        if here is None or there is None:
            return f"{name} exists in one run only"
        key = next(key for key in sorted(here.keys() | there.keys()) if here.get(key) != there.get(key))
        return f"{name}.{key}: {here.get(key)!r} in one run, {there.get(key)!r} in the other"
    return "nothing"
