"""Mutants: copies of one function of the kernel, each with one small change, as mutmut makes them.

Of mutmut we use the operators (what is changed into what), which decide what a mutant is. A mutant's name is made of
the function and of the lines that change, so it stays the same when lines are added elsewhere.
"""

import ast
import gzip
import hashlib
import json
import os
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).parents[2]
KERNEL = ROOT / "capkernel" / "kernel"
KEPT = ROOT / "build" / "mutants"


class UnknownModule(Exception):
    """There is no such module in the kernel."""


@dataclass(frozen=True)
class Place:
    """A function in its module's source: the numbers of its first and last line, and where its statements begin."""

    first: int
    last: int
    statements: tuple[tuple[int, int], ...]
    """The first and last line of each statement in it, inner ones behind outer ones."""


@dataclass(frozen=True)
class Mutant:
    """One change of one function.

    ``module`` is its name in ``capkernel.kernel``, ``function`` its qualified name there; ``removed`` and ``added`` are
    the lines that change, without their margin. ``copy`` counts those of a function whose lines look the same.
    ``lines`` are those of the module that must be executed for the change to matter; ``source`` is the function.
    """

    module: str
    function: str
    removed: tuple[str, ...]
    added: tuple[str, ...]
    copy: int
    lines: tuple[int, ...]
    source: str

    @property
    def diff(self) -> str:
        """The lines that change."""
        return "\n".join([*(f"- {line}" for line in self.removed), *(f"+ {line}" for line in self.added)])

    @property
    def title(self) -> str:
        """Where it is: module and function."""
        return f"{self.module}.{self.function}" + (f" ({self.copy})" if self.copy > 1 else "")

    @cached_property
    def key(self) -> str:
        """A short name that changes only with the function's name or the change itself."""
        words = f"{self.module}\0{self.function}\0{self.diff}\0{self.copy}"
        return f"{self.module}.{self.function}:{hashlib.sha256(words.encode()).hexdigest()[:10]}"


def modules() -> list[str]:
    """The names of the kernel's modules, in ``capkernel.kernel``."""
    paths = (path.relative_to(KERNEL).with_suffix("") for path in KERNEL.rglob("*.py") if path.stem != "__init__")
    return sorted(".".join(path.parts) for path in paths)


def path_of(module: str) -> Path:
    """The source of a module. Raises UnknownModule."""
    path = KERNEL.joinpath(*module.split(".")).with_suffix(".py")
    if module not in modules():
        raise UnknownModule(f"there is no module {module} in capkernel.kernel; there are {', '.join(modules())}")
    return path


def mutants_of(module: str) -> list[Mutant]:
    """All mutants of a module, in the order of its source; of changes with the same result only the first.

    They are kept in ``build``, as making them takes half a minute. Raises UnknownModule.
    """
    text = path_of(module).read_text(encoding="utf-8")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    sources = version("mutmut"), settings, Path(__file__).read_text(encoding="utf-8"), text
    digest = hashlib.sha256(repr(sources).encode()).hexdigest()
    file = KEPT / f"{module}.json.gz"
    if file.exists():
        kept = json.loads(gzip.decompress(file.read_bytes()))
        if kept["digest"] == digest:
            return [_mutant(row) for row in kept["mutants"]]
    found = made(module, text)
    KEPT.mkdir(parents=True, exist_ok=True)
    rows = {"digest": digest, "mutants": [asdict(mutant) for mutant in found]}
    fresh = file.with_name(file.name + ".new")
    fresh.write_bytes(gzip.compress(json.dumps(rows).encode()))
    os.replace(fresh, file)
    return found


def _mutant(row: dict[str, Any]) -> Mutant:
    """A mutant that was kept."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
    return Mutant(**values)


def made(module: str, text: str) -> list[Mutant]:
    """All mutants of a module whose source is ``text``."""
    lines, places = text.split("\n"), dict(_places(ast.parse(text)))
    found: dict[tuple[str, str], Mutant] = {}
    copies: Counter[tuple[str, tuple[str, ...], tuple[str, ...]]] = Counter()
    for function, changed in _changed(module, text):
        place = places[function]
        before = lines[place.first - 1 : place.last]
        after = changed.split("\n")
        start, end = _common(before, after)
        removed = tuple(line.strip() for line in before[start : len(before) - end])
        added = tuple(line.strip() for line in after[start : len(after) - end])
        if (function, changed) in found or removed == added:
            continue
        copies[function, removed, added] += 1
        touched = range(place.first + start, max(place.first + start + 1, place.last + 1 - end))
        reached = _reached(place, touched)
        copy = copies[function, removed, added]
        found[function, changed] = Mutant(module, function, removed, added, copy, reached, textwrap.dedent(changed))
    return sorted(found.values(), key=lambda mutant: mutant.lines[0])


def _changed(module: str, text: str) -> Iterator[tuple[str, str]]:
    """The qualified name and the new source of a function, with its margin, for each change that mutmut makes."""
    # Late, as only campaigns need it: the command is listed where it is not installed.
    import libcst as cst
    from mutmut.mutation.file_mutation import create_mutations, deep_replace

    with chdir(ROOT):  # where mutmut reads its section of pyproject.toml
        parsed, mutations, _, _ = create_mutations(module, text)
    names: dict[cst.CSTNode, tuple[str, str]] = {}
    for outer in parsed.body:
        if isinstance(outer, cst.FunctionDef):
            names[outer] = outer.name.value, ""
        elif isinstance(outer, cst.ClassDef):
            methods = (inner for inner in outer.body.body if isinstance(inner, cst.FunctionDef))
            names |= {inner: (f"{outer.name.value}.{inner.name.value}", "    ") for inner in methods}
    for mutation in mutations:
        owner = mutation.contained_by_top_level_function
        # Statements of classes and modules, which mutmut leaves alone, have no function or are their own.
        if owner is None or owner not in names:
            continue
        name, margin = names[owner]
        # What stands above a function belongs to it for the parser.
        bare = owner.with_changes(leading_lines=(), lines_after_decorators=())
        code = parsed.code_for_node(_node(deep_replace(bare, mutation.original_node, mutation.mutated_node)))
        yield name, textwrap.indent(code.rstrip("\n"), margin)


def _node(replaced: Any) -> Any:
    """What is left of a function after a change, which is a function."""
    return replaced


def _places(tree: ast.Module) -> Iterator[tuple[str, Place]]:
    for outer in tree.body:
        inside = outer.body if isinstance(outer, ast.ClassDef) else [outer]
        prefix = f"{outer.name}." if isinstance(outer, ast.ClassDef) else ""
        for node in inside:
            if isinstance(node, ast.FunctionDef):
                inner = (part for part in ast.walk(node) if isinstance(part, ast.stmt) and part is not node)
                spans = tuple((part.lineno, part.end_lineno or part.lineno) for part in inner)
                yield prefix + node.name, Place(node.lineno, node.end_lineno or node.lineno, spans)


def _common(before: list[str], after: list[str]) -> tuple[int, int]:
    """How many lines at the start and at the end are the same."""
    most = min(len(before), len(after))
    start = 0
    while start < most and before[start] == after[start]:
        start += 1
    end = 0
    while end < most - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return start, end


def _reached(place: Place, touched: range) -> tuple[int, ...]:
    """The lines to look for in what was executed: those that change, and where their innermost statement begins."""
    around = [first for first, last in place.statements if first <= touched[0] <= last]
    lines = {*touched, *around[-1:]}
    if touched[0] < min((first for first, _ in place.statements), default=place.first):
        # The head of a function is executed when it is defined; what it says matters in each call.
        lines |= {first for first, _ in place.statements}
    return tuple(sorted(lines))


# The same compiled code


def compiled(mutant: Mutant, names: dict[str, Any]) -> FunctionType:
    """The mutant as a function, in whose module ``names`` are known. Raises what its definition raises."""
    body: ast.stmt = ast.parse(mutant.source).body[0]
    owner, _, name = mutant.function.rpartition(".")
    if owner:
        # A class around it, for what a method can say of its own class.
        body = ast.ClassDef(name=owner, bases=[], keywords=[], body=[body], decorator_list=[])
    tree = ast.fix_missing_locations(ast.Module(body=[body], type_ignores=[]))
    made: dict[str, Any] = {}
    exec(compile(tree, f"mutant of {mutant.module}", "exec", dont_inherit=True), names, made)
    function = vars(made[owner])[name] if owner else made[name]
    return plain(function)


def plain(function: Any) -> FunctionType:
    """The function itself, of a static or class method."""
    found = getattr(function, "__func__", function)
    assert isinstance(found, FunctionType)
    return found


def meaning(function: FunctionType) -> tuple[Any, ...]:
    """What a function's byte code says; equal functions do the same."""
    return _meaning(function.__code__), function.__defaults__, function.__kwdefaults__


def _meaning(code: CodeType) -> tuple[Any, ...]:
    constants = tuple(_meaning(c) if isinstance(c, CodeType) else (type(c), c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_flags
