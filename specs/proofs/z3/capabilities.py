"""The abstract capability model for so many slots: the same operations and invariant as ``coq/Capabilities.v``.

A state is a table of slots; who was derived from whom is a slot's ``parent``. The order of siblings is left out:
nothing here speaks of it. Which memory a Retype takes is given as an offset that the caller has aligned.
"""

from dataclasses import dataclass, replace

from specs.proofs.z3.logic import Term, all_, and_, at, if_, implies, not_, or_

NONE = -1
RIGHTS = ("read", "write", "grant", "grant_reply")
OPERATIONS = ("copy", "mint", "transfer", "move", "delete", "revoke", "retype", "retype_untyped", "reset")
"""A cap that travels in a message is copied with all its rights: ``transfer``."""


@dataclass(frozen=True)
class Slot:
    """A slot: a cap to an untyped (``mark`` bytes of it are given out) or to an object, if ``used``.

    ``rank`` is no part of the kernel: it grows from parent to child, and so shows that there is no cycle.
    """

    used: Term = False
    untyped: Term = False
    base: Term = 0
    size: Term = 0
    mark: Term = 0
    rights: tuple[Term, ...] = (False,) * 4
    badge: Term = 0
    original: Term = False
    parent: Term = NONE
    rank: Term = 0


@dataclass(frozen=True)
class Operation:
    """What is done: ``source`` and ``target`` are slots, ``offset`` and ``size`` where a Retype makes what it makes."""

    name: str
    source: Term = 0
    target: Term = 0
    mask: tuple[Term, ...] = (True,) * 4
    badge: Term = 0
    offset: Term = 0
    size: Term = 0


State = tuple[Slot, ...]
EMPTY = Slot()


def _choose(condition: Term, then: Slot, otherwise: Slot) -> Slot:
    if isinstance(condition, bool):
        return then if condition else otherwise
    rights = tuple(if_(condition, a, b) for a, b in zip(then.rights, otherwise.rights, strict=True))
    names = ("used", "untyped", "base", "size", "mark", "badge", "original", "parent", "rank")
    chosen = {name: if_(condition, getattr(then, name), getattr(otherwise, name)) for name in names}
    return Slot(rights=rights, **chosen)


def _slot(state: State, index: Term) -> Slot:
    if isinstance(index, int):
        return state[index] if 0 <= index < len(state) else EMPTY
    found = EMPTY
    for number, slot in enumerate(state):
        found = _choose(index == number, slot, found)
    return found


def has_children(state: State, index: Term) -> Term:
    """Whether anything was derived from a slot."""
    return or_(*(and_(slot.used, slot.parent == index) for slot in state))


def is_below(state: State, index: int, above: Term) -> Term:
    """Whether a slot was derived from another, through any number of others."""
    found, place = False, state[index].parent
    for _ in state:
        found = or_(found, and_(place != NONE, place == above))
        place = at([slot.parent for slot in state], place, NONE)
    return found


def perform(state: State, operation: Operation) -> State:
    """The state after an operation; the same state if that cannot be done."""
    source, free = _slot(state, operation.source), not_(_slot(state, operation.target).used)
    match operation.name:
        case "copy" | "mint" | "transfer":
            return _derive(state, operation, source, and_(source.used, free))
        case "move":
            return _move(state, operation, source, and_(source.used, free))
        case "delete":
            return _delete(state, operation, source)
        case "revoke":
            below = [and_(source.used, slot.used, is_below(state, n, operation.source)) for n, slot in enumerate(state)]
            return tuple(_choose(gone, EMPTY, slot) for gone, slot in zip(below, state, strict=True))
        case "retype" | "retype_untyped":
            return _retype(state, operation, source, and_(source.used, free, source.untyped))
        case _:
            may = and_(source.used, source.untyped, not_(has_children(state, operation.source)))
            return _with(state, operation.source, replace(source, mark=0), may)


def _with(state: State, index: Term, new: Slot, when: Term) -> State:
    return tuple(_choose(and_(when, index == number), new, slot) for number, slot in enumerate(state))


def _derive(state: State, operation: Operation, source: Slot, may: Term) -> State:
    """Of an object any cap may be copied, and a badge set once; an untyped only while nothing was made of it."""
    badge = operation.badge if operation.name == "mint" else 0
    mask = operation.mask if operation.name != "transfer" else (True,) * 4
    sets = and_(source.badge == 0, badge != 0)
    again = and_(source.badge != 0, badge != 0)
    parent = if_(source.original, operation.source, source.parent)
    rights = tuple(and_(have, keep) for have, keep in zip(source.rights, mask, strict=True))
    badge = if_(sets, badge, source.badge)
    rank = source.rank + if_(source.original, 1, 0)
    of_object = replace(source, rights=rights, badge=badge, original=sets, parent=parent, rank=rank)
    of_untyped = replace(source, original=True, parent=operation.source, rank=source.rank + 1)
    may_object = and_(may, not_(source.untyped), not_(again))
    may_untyped = and_(may, source.untyped, not_(has_children(state, operation.source)))
    state = _with(state, operation.target, of_object, may_object)
    state = _with(state, operation.target, of_untyped, may_untyped)
    return _with(state, operation.source, replace(source, mark=source.size), may_untyped)


def _move(state: State, operation: Operation, source: Slot, may: Term) -> State:
    moved = _with(_with(state, operation.target, source, may), operation.source, EMPTY, may)
    return tuple(
        replace(slot, parent=if_(and_(may, slot.used, slot.parent == operation.source), operation.target, slot.parent))
        for slot in moved
    )


def _delete(state: State, operation: Operation, source: Slot) -> State:
    """What was derived from it is then derived from what it was derived from."""
    left = _with(state, operation.source, EMPTY, source.used)
    orphan = [and_(source.used, slot.used, slot.parent == operation.source) for slot in left]
    return tuple(replace(s, parent=if_(o, source.parent, s.parent)) for o, s in zip(orphan, left, strict=True))


def _retype(state: State, operation: Operation, source: Slot, may: Term) -> State:
    end = operation.offset + operation.size
    may = and_(may, operation.size >= 0, operation.offset >= source.mark, end <= source.size)
    new = Slot(
        True, operation.name == "retype_untyped", source.base + operation.offset, operation.size, 0,
        (operation.name == "retype",) * 4, 0, True, operation.source, source.rank + 1,
    )  # fmt: skip
    return _with(_with(state, operation.target, new, may), operation.source, replace(source, mark=end), may)


# The invariant: conjuncts named as in Capabilities.v, or by what they say.


def _disjoint(a: Slot, b: Slot) -> Term:
    return or_(a.base + a.size <= b.base, b.base + b.size <= a.base)


def apart(a: Slot, b: Slot) -> Term:
    """Two caps share no memory, unless they are caps to one object."""
    same = and_(not_(a.untyped), not_(b.untyped), a.base == b.base, a.size == b.size)
    return or_(_disjoint(a, b), same)


def under(above: Slot, below: Slot) -> Term:
    """What the lower cap gives, the upper one could give."""
    within = and_(above.base <= below.base, below.base + below.size <= above.base + above.size)
    fewer = all_(implies(b, a) for a, b in zip(above.rights, below.rights, strict=True))
    same = and_(not_(below.untyped), above.base == below.base, above.size == below.size, fewer)
    return if_(above.untyped, within, same)


def sizes(state: State) -> Term:
    """Memory is counted in natural numbers, and no more is given out than there is."""
    return all_(
        implies(s.used, and_(s.base >= 0, s.size >= 0, s.mark >= 0, implies(s.untyped, s.mark <= s.size)))
        for s in state
    )  # fmt: skip


def forest(state: State) -> Term:
    """Each parent holds a cap, and whoever goes from parent to parent comes to an end."""
    conditions = []
    for slot in state:
        held = at([s.used for s in state], slot.parent, False)
        lower = at([s.rank for s in state], slot.parent, 0) < slot.rank
        inside = and_(slot.parent >= NONE, slot.parent < len(state))
        conditions.append(implies(slot.used, and_(inside, or_(slot.parent == NONE, and_(held, lower)))))
        conditions.append(implies(not_(slot.used), slot.parent == NONE))
    return all_(conditions)


def placed(state: State) -> Term:
    """What is derived from an untyped lies in what that has given out; from an object, gives no more than that."""
    conditions = []
    for slot in state:
        above = _slot(state, slot.parent)
        given = and_(above.base <= slot.base, slot.base + slot.size <= above.base + above.mark)
        conditions.append(implies(and_(slot.used, slot.parent != NONE), if_(above.untyped, given, under(above, slot))))
    return all_(conditions)


def siblings_apart(state: State) -> Term:
    """What was derived from one slot (or from none) shares no memory."""
    return all_(
        implies(and_(a.used, b.used, a.parent == b.parent), apart(a, b))
        for n, a in enumerate(state) for b in state[n + 1 :]
    )  # fmt: skip


INVARIANT = {"sizes": sizes, "forest": forest, "placed": placed, "siblings_apart": siblings_apart}


def objects_are_disjoint(state: State) -> Term:
    """Two caps to objects lead to one object, or to memory that they do not share (follows from the invariant)."""
    return all_(
        implies(and_(a.used, b.used, not_(a.untyped), not_(b.untyped)), apart(a, b))
        for n, a in enumerate(state) for b in state[n + 1 :]
    )  # fmt: skip


def step_confines(before: State, after: State, operation: Operation) -> Term:
    """Each cap afterwards gives no more than some cap did before."""
    return all_(implies(new.used, or_(*(and_(old.used, under(old, new)) for old in before))) for new in after)


def revoke_is_complete(before: State, after: State, operation: Operation) -> Term:
    """After Revoke nothing that was derived from the slot is left."""
    if operation.name != "revoke":
        return True
    return not_(has_children(after, operation.source))


CONSEQUENCES = {"objects_are_disjoint": objects_are_disjoint}
def unchanged(state: State, operation: Operation | None) -> State:
    """The state itself, to say what follows of it."""
    return state


STEP_THEOREMS = {"step_confines": step_confines, "revoke_is_complete": revoke_is_complete}
