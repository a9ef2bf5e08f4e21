"""The extracted Coq model and the Python specification, side by side: what is proved of is what runs.

Random invocations on one CNode are decoded and performed by ``specs.abstract``. What it accepts, the model performs;
after each the derivation trees must be equal: slots, parents, the order of children, originals, regions, used memory,
rights and badges.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi.words import align_up
from specs.abstract import Config, Outputs
from specs.abstract.caps import CNodeCap, EndpointCap, UntypedCap
from specs.abstract.cdt import children, set_cap
from specs.abstract.cnode import decode_cnode_invocation
from specs.abstract.invocation import Call
from specs.abstract.objects import CNode
from specs.abstract.state import CSlot, SyscallError
from specs.abstract.state import State as Spec
from specs.abstract.untyped import decode_untyped_invocation
from specs.proofs.coq_model import Model, Node, State

NODE, HOME, BITS = 0x1000, 0x2000, 5
"""Where the CNode with 2**BITS slots is, and the one (never touched) that holds the caps to it."""
BASE, SIZE_BITS = 0x10000, 10
THREAD = 0x3000
ENDPOINT_BITS = 4
CONFIG = Config(1, 256, 96, 10, 20, 10**6, 10, 10**9, 8, True, False)
"""No preemption point ever asks: preempted operations are for ``specs.refinement``."""
NAMES = {
    labels.CNODE_COPY: "copy", labels.CNODE_MINT: "mint", labels.CNODE_MOVE: "move", labels.CNODE_DELETE: "delete",
    labels.CNODE_REVOKE: "revoke",
}  # fmt: skip


@dataclass
class Result:
    """What came of it: operations performed by kind, how many the specification refused, and the first difference."""

    performed: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    difference: str | None = None


def beginning() -> Spec:
    """One untyped in slot 0 of the CNode."""
    s = Spec(CONFIG)
    s.out, s.memory = Outputs(), lambda paddr: 0
    s.kheap[NODE] = CNode(BITS)
    s.kheap[HOME] = CNode(1)
    set_cap(s, CNodeCap(NODE, BITS, 0, 0), (HOME, 0))
    set_cap(s, UntypedCap(BASE, SIZE_BITS, False, 0), (NODE, 0))
    s.is_original_cap |= {(HOME, 0), (NODE, 0)}
    return s


def tree_of(s: Spec) -> State:
    """The specification's state in the model's words."""
    found: State = {}

    def visit(slot: CSlot, parent: int | None) -> None:
        cap, original = s.caps[slot], slot in s.is_original_cap
        if isinstance(cap, UntypedCap):
            found[slot[1]] = Node(parent, original, cap.ptr, 2**cap.size_bits, False, (cap.free_index, 0))
        elif isinstance(cap, EndpointCap):
            found[slot[1]] = Node(parent, original, cap.ptr, 2**ENDPOINT_BITS, True, (cap.rights, cap.badge))
        for child in children(s, slot):
            visit(child, slot[1])

    for slot in sorted(slot for slot in s.caps if slot[0] == NODE and slot not in s.cdt):
        visit(slot, None)
    return found


def _call(slot: CSlot, label: int, words: tuple[int, ...]) -> Call:
    return Call(THREAD, slot, label, len(words), lambda index: words[index], ((HOME, 0),))


def step(s: Spec, rng: random.Random) -> list[tuple[str, ...]]:
    """One random invocation on the specification; returns what the model is to perform. Raises SyscallError."""
    used = [index for node, index in s.caps if node == NODE]
    source = rng.choice(used) if used and rng.random() < 0.9 else rng.randrange(1 << BITS)
    target = rng.randrange(1 << BITS)
    cap = s.caps.get((NODE, source))
    if isinstance(cap, UntypedCap) and rng.random() < 0.7:
        return _retype(s, rng, cap, source, target)
    label = rng.choices(tuple(NAMES), (6, 6, 3, 3, 1))[0]
    mask, badge = rng.randrange(16), rng.choice((0, 0, 1, 2))
    words = {
        labels.CNODE_COPY: (target, BITS, source, BITS, mask), labels.CNODE_MOVE: (target, BITS, source, BITS),
        labels.CNODE_MINT: (target, BITS, source, BITS, mask, badge),
    }.get(label, (source, BITS))  # fmt: skip
    decode_cnode_invocation(s, _call((HOME, 0), label, words), CNodeCap(NODE, BITS, 0, 0))()
    arguments = {
        labels.CNODE_COPY: (source, target, mask), labels.CNODE_MOVE: (source, target),
        labels.CNODE_MINT: (source, target, mask, badge),
    }.get(label, (source,))  # fmt: skip
    return [(NAMES[label], *map(str, arguments))]


def _retype(s: Spec, rng: random.Random, cap: UntypedCap, source: int, target: int) -> list[tuple[str, ...]]:
    kind, bits = rng.choice(((obj.ENDPOINT, 0), (obj.UNTYPED, 5), (obj.UNTYPED, 6)))
    fresh = not children(s, (NODE, source))
    words = (kind, bits, 0, 0, target, 1)
    decode_untyped_invocation(s, _call((NODE, source), labels.UNTYPED_RETYPE, words), cap)()
    size = 1 << (bits or ENDPOINT_BITS)
    at = align_up(cap.ptr + (0 if fresh else cap.free_index), bits or ENDPOINT_BITS) - cap.ptr
    made = ("retype" if kind == obj.ENDPOINT else "untyped", str(source), str(target), str(at), str(size))
    return [("reset", str(source)), made] if fresh else [made]


def run(program: Path, seed: int, steps: int) -> Result:
    """So many random invocations on both, from one untyped on."""
    rng, s, result = random.Random(seed), beginning(), Result()
    with Model(program, BASE, 1 << SIZE_BITS) as model:
        for number in range(steps):
            try:
                operations = step(s, rng)
            except SyscallError:
                result.refused += 1
                continue
            for name, *arguments in operations:
                there = model.perform(str(name), *map(int, arguments))
                result.performed[str(name)] += 1
            here = tree_of(s)
            if list(here.items()) != list(there.items()) and _by_root(here) != _by_root(there):
                result.difference = f"seed {seed}, step {number}, {operations}:\nspec  {here}\nmodel {there}"
                return result
    return result


def _by_root(state: State) -> list[list[tuple[int, Node]]]:
    """The trees of a state, in the order of their roots' slots, which have no order of their own."""
    trees: list[list[tuple[int, Node]]] = []
    for slot, node in state.items():
        if node.parent is None:
            trees.append([])
        trees[-1].append((slot, node))
    return sorted(trees)
