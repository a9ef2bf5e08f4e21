"""Putting a mutant into the kernel that runs: the function stays the same object, its code becomes another.

So it holds for everybody who has the function already: importers, tables, bound methods. Nothing is put back; do it in
a process that may be thrown away.
"""

import importlib
from types import FunctionType
from typing import Any

from specs.mutation.mutants import Mutant, compiled, meaning, plain


class NotPython(Exception):
    """The kernel's functions are not Python functions: it was compiled."""


def original(mutant: Mutant) -> FunctionType:
    """The function that a mutant changes. Raises NotPython."""
    owner: Any = importlib.import_module(f"capkernel.kernel.{mutant.module}")
    *path, name = mutant.function.split(".")
    for part in path:
        owner = getattr(owner, part)
    function = vars(owner)[name]
    if not isinstance(getattr(function, "__func__", function), FunctionType):
        raise NotPython(f"{owner.__name__}.{name} is compiled; mutants need the kernel as plain Python")
    return plain(function)


def graft(mutant: Mutant) -> bool:
    """Change the function; false if its code is the same as before, so that the mutant is the original.

    Raises NotPython, and whatever the definition of the mutant raises.
    """
    function = original(mutant)
    mutated = compiled(mutant, function.__globals__)
    if meaning(mutated) == meaning(function):
        return False
    function.__code__ = mutated.__code__
    function.__defaults__, function.__kwdefaults__ = mutated.__defaults__, mutated.__kwdefaults__
    return True
