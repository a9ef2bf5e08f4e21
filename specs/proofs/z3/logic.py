"""One text for two readings: the same functions compute with Python's values, and make terms for z3 of symbols.

As soon as an operand is a z3 term, so is the result; else it is a plain bool or int, and z3 is never asked.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import z3

Term = Any
"""A bool or an int, or z3's term for one."""


def _plain(term: Term) -> bool:
    return not isinstance(term, z3.ExprRef)


def if_(condition: Term, then: Term, otherwise: Term) -> Term:
    """``then`` if the condition holds."""
    if _plain(condition):
        return then if condition else otherwise
    if then is otherwise:
        return then
    return z3.If(condition, then, otherwise)


def and_(*terms: Term) -> Term:
    """All of them."""
    left = [term for term in terms if term is not True]
    if any(term is False for term in left):
        return False
    return z3.And(left) if left else True


def or_(*terms: Term) -> Term:
    """Any of them."""
    left = [term for term in terms if term is not False]
    if any(term is True for term in left):
        return True
    return z3.Or(left) if left else False


def not_(term: Term) -> Term:
    """The opposite."""
    return not term if _plain(term) else z3.Not(term)


def implies(one: Term, other: Term) -> Term:
    """If one, then the other."""
    return or_(not_(one), other)


def all_(terms: Iterable[Term]) -> Term:
    """All of many."""
    return and_(*terms)


def at(items: Sequence[Term], index: Term, otherwise: Term) -> Term:
    """The item at an index; ``otherwise`` if there is none."""
    if _plain(index):
        return items[index] if 0 <= index < len(items) else otherwise
    found = otherwise
    for number, item in enumerate(items):
        found = if_(index == number, item, found)
    return found


def put(items: Sequence[Term], index: Term, value: Term, when: Term = True) -> tuple[Term, ...]:
    """The items with another value at an index, if ``when``."""
    return tuple(if_(and_(when, index == number), value, item) for number, item in enumerate(items))
