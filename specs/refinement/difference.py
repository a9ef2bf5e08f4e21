"""How two abstract states differ: object, field, what the specification says, what the kernel has."""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from capkernel.abi import registers as reg
from specs.abstract.objects import IDLE_SC, IDLE_THREAD, IRQ_NODE, TCB
from specs.abstract.state import VARIABLES, State

_TREE_MAPS = ("caps", "cdt", "cdt_list")
_MAPS = ("ready_queues", "asid_table", "io_contexts")
_of_state = attrgetter(*VARIABLES, *_MAPS)
_NOBODYS = {IDLE_THREAD: "idle thread", IDLE_SC: "idle sc", IRQ_NODE: "irq"}
NOTHING = "nothing"


class Difference(NamedTuple):
    """One row: where, which field, and the two values."""

    place: str
    field: str
    spec: Any
    kernel: Any

    def __str__(self) -> str:
        what = f"{self.place}.{self.field}" if self.field else self.place
        return f"{what}: the specification says {show(self.spec)}, the kernel {show(self.kernel)}"


def show(value: Any) -> str:
    """A value for people: large numbers in hexadecimal."""
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        if names is not None:
            fields = ", ".join(f"{name}={show(item)}" for name, item in zip(names, value, strict=True))
            return f"{type(value).__name__}({fields})"
        inner = ", ".join(map(show, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value) if isinstance(value, str) else repr(value)
    return str(value) if abs(value) < 4096 else hex(value)


def same_tree(spec: State, kernel: State) -> bool:
    """Whether caps and derivation tree agree (of caps also the types: equal tuples of two types are not the same)."""
    return (
        all(getattr(spec, name) == getattr(kernel, name) for name in _TREE_MAPS)
        and spec.is_original_cap == kernel.is_original_cap
        and all(type(cap) is type(kernel.caps[slot]) for slot, cap in spec.caps.items())
    )


def same_but_tree(spec: State, kernel: State) -> bool:
    """Whether objects, queues and variables agree. Objects that no cap leads to any more do not count."""
    heap = spec.kheap
    for ptr, item in kernel.kheap.items():
        mine = heap.get(ptr)
        if mine is not item and (mine != item or type(mine) is not type(item) or not _same_kinds(mine, item)):
            return False
    return _of_state(spec) == _of_state(kernel)


def _same_kinds(spec: Any, kernel: Any) -> bool:
    """Of two equal objects, whether what a thread waits for and what it did are of the same kind, too."""
    if not isinstance(spec, TCB):
        return True
    return type(spec.state) is type(kernel.state) and type(spec.fault) is type(kernel.fault)


def differences(spec: State, kernel: State) -> list[Difference]:
    """All rows."""
    return [*_variables(spec, kernel), *_objects(spec, kernel), *_maps(spec, kernel)]


def _variables(spec: State, kernel: State) -> Iterator[Difference]:
    for name in VARIABLES:
        if getattr(spec, name) != getattr(kernel, name):
            yield Difference(name, "", getattr(spec, name), getattr(kernel, name))


def _objects(spec: State, kernel: State) -> Iterator[Difference]:
    for ptr, theirs in kernel.kheap.items():
        mine: Any = spec.kheap.get(ptr)
        place = _NOBODYS.get(ptr) or f"{type(theirs).__name__}@{ptr:#x}"
        if type(mine) is not type(theirs):
            yield Difference(place, "", NOTHING if mine is None else mine, theirs)
            continue
        for name in theirs._fields:
            said: Any = getattr(mine, name)
            found: Any = getattr(theirs, name)
            if name == "context":
                rows = zip(reg.NAMES, said, found, strict=True)
                yield from (Difference(place, register, a, b) for register, a, b in rows if a != b)
            elif said != found or type(said) is not type(found):
                yield Difference(place, name, said, found)


def _maps(spec: State, kernel: State) -> Iterator[Difference]:
    for name in _TREE_MAPS + _MAPS:
        said, found = getattr(spec, name), getattr(kernel, name)
        for key in sorted(said.keys() | found.keys()):
            mine, theirs = said.get(key, NOTHING), found.get(key, NOTHING)
            if mine != theirs or type(mine) is not type(theirs):
                yield Difference(f"{name}[{_key(key)}]", "", mine, theirs)
    for slot in sorted(spec.is_original_cap ^ kernel.is_original_cap):
        yield Difference(
            f"is_original_cap[{_key(slot)}]", "", slot in spec.is_original_cap, slot in kernel.is_original_cap
        )


def _key(key: Any) -> str:
    if isinstance(key, tuple):
        ptr, index = key
        return f"{_NOBODYS.get(ptr) or show(ptr)}, {index}"
    return show(key)
