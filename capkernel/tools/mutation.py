"""Mistakes in a program's code: small changes as a programmer, or a bit that flips in an instruction, may make them.

A ``Text`` knows the functions of a program and each *place* in them where a mistake can be made. A ``Mutant`` has some
of these mistakes, drawn by a seed. It is the program's code only while one domain runs: the others that use the same
modules, and the domain's next life, run what was written. A mistake counts as made when its place was executed.

Python code that computes for ever without a system call would hold up the simulation, so loops are counted: a program
that goes round ``PATIENCE`` times in one step is given up, and its thread counts as one that computes for ever.
"""

import ast
import inspect
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, TypeVar

from attrs import define, field, frozen

OWN: Final = ("servers.", "capkernel_pd_")
"""Modules with such names are a program's own, and may get mistakes."""
LIBRARY: Final = ("capkernel.user.", "capkernel.protocols.")
"""In these, too, loops are counted, as they may be called with anything."""
PATIENCE: Final = 200_000
_MADE, _ROUND = "__mistake__", "__round__"
T = TypeVar("T")

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip
_NO_CODE: Final = frozenset(("annotation", "returns", "decorator_list", "pattern", "defaults", "kw_defaults"))
"""Parts of a function that are not executed as its code, or must stay literal."""


class Endless(BaseException):
    """The program went round in loops for too long."""


class Loops:
    """How often programs went round since it was asked last; None: nobody counts."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.is_over = False

    def round(self) -> bool:
        """Once more. Raises Endless."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.is_over = True
                raise Endless(f"{PATIENCE} rounds without a system call")
        return True


_loops: Final = Loops()


@frozen
class Statement:
    """A class or function at the top of a module: what is compiled again when something in it changes."""

    source: str
    lines: int
    path: str


@frozen
class Code:
    """Of a function or method: the statement in which it is, how many places it has, and its variables."""

    statement: Statement
    places: int
    variables: tuple[str, ...]


def _parsed(statement: Statement) -> ast.Module:
    return ast.parse("\n" * statement.lines + statement.source)


def _functions(tree: ast.AST) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions of a statement by qualified name, without those inside of others."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{name}", inner) for name, inner in _functions(node))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """What is executed in a function, parents first, always in the same order."""
    for name, value in ast.iter_fields(node):
        if name in _NO_CODE:
            continue
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, ast.AST):
                yield child
                yield from _executed(child)


def _is_place(node: ast.AST) -> bool:
    match node:
        case ast.If() | ast.While() | ast.IfExp() | ast.BoolOp():
            return True
        case ast.Compare(ops=[operator, *_]):
            return type(operator) in _COMPARISONS
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator):
            return type(operator) in _OPERATORS
        case ast.Constant(value=value):
            return isinstance(value, int)
        case ast.Assign() | ast.Return():
            return True
        case ast.Expr(value=value):
            return not isinstance(value, ast.Constant)
        case ast.Call(args=arguments):
            return len(arguments) > 1 and not any(isinstance(each, ast.Starred) for each in arguments)
        case ast.Name(ctx=ast.Load()):
            return True
        case _:
            return False


def _places(function: ast.AST) -> list[ast.AST]:
    return [node for node in _executed(function) if _is_place(node)]


def _variables(function: ast.AST) -> tuple[str, ...]:
    """The names that a function gives values to."""
    names = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    names |= {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return tuple(sorted(names))


N = TypeVar("N", bound=ast.AST)


def _at(place: ast.AST, made: N) -> N:
    """The same where a place is."""
    return ast.fix_missing_locations(ast.copy_location(made, place))


def _call(name: str, *arguments: int) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), [ast.Constant(each) for each in arguments], [])


def _other(chance: random.Random, have: T, choices: Iterable[T]) -> T:
    return chance.choice([each for each in choices if each != have] or [have])


class _Mistakes(ast.NodeTransformer):
    """Puts mistakes where they were drawn, and counts rounds in every loop."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.numbers: dict[ast.AST, tuple[int, tuple[str, ...]]] = {}
        """The place, the mistake's number, and the variables of its function."""

    def visit(self, node: ast.AST) -> Any:
        """The node as it will be."""
        drawn = self.numbers.get(node)
        changed = self.generic_visit(node)
        match changed:
            case ast.While() | ast.For() | ast.AsyncFor():
                changed.body.insert(0, _at(changed.body[0], ast.Expr(_call(_ROUND))))
            case ast.comprehension():
                changed.ifs.insert(0, _at(changed.iter, _call(_ROUND)))
        return changed if drawn is None else self._mistaken(changed, *drawn)

    def _mistaken(self, node: ast.AST, number: int, variables: tuple[str, ...]) -> ast.AST | list[ast.stmt]:
        made = _call(_MADE, number)
        match node:
            case ast.If() | ast.While():
                # What is noted is false, so the condition decides.
                node.test = _at(node.test, ast.BoolOp(ast.Or(), [made, ast.UnaryOp(ast.Not(), node.test)]))
                return node
            case ast.Assign() | ast.Return() | ast.Expr():
                return _at(node, ast.Expr(made))
            case ast.AugAssign():
                node.op = _OPERATORS[type(node.op)]()
                return [_at(node, ast.Expr(made)), node]
            case ast.expr():
                # The first of the two is evaluated, and noted, before the second.
                pair = ast.Tuple([made, self._expression(node, variables)], ast.Load())
                return _at(node, ast.Subscript(pair, ast.Constant(1), ast.Load()))
            case _:
                raise AssertionError(f"{node} is no place for a mistake")

    def _expression(self, node: ast.expr, variables: tuple[str, ...]) -> ast.expr:
        chance = self.chance
        match node:
            case ast.IfExp():
                node.body, node.orelse = node.orelse, node.body
            case ast.BoolOp():
                node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
            case ast.Compare():
                node.ops[0] = _COMPARISONS[type(node.ops[0])]()
            case ast.BinOp():
                node.op = _OPERATORS[type(node.op)]()
            case ast.Constant(value=bool(value)):
                node.value = not value
            case ast.Constant(value=int(value)):
                node.value = chance.choice((value + 1, max(0, value - 1), value ^ 1 << chance.randrange(16)))
            case ast.Call():
                one, other = sorted(chance.sample(range(len(node.args)), 2))
                node.args[one], node.args[other] = node.args[other], node.args[one]
            case ast.Name():
                node.id = _other(chance, node.id, variables)
        return node


def _code_of(tree: ast.Module, statement: Statement) -> dict[str, CodeType]:
    """The code of a statement's functions, by qualified name. Raises SyntaxError."""
    found: dict[str, CodeType] = {}

    def look(code: CodeType) -> None:
        for each in code.co_consts:
            if isinstance(each, CodeType) and "<locals>" not in each.co_qualname:
                found[each.co_qualname] = each
                look(each)

    look(compile(tree, statement.path, "exec", dont_inherit=True))
    return found


def _plain(value: object) -> FunctionType | None:
    """The function below what decorators made of it."""
    value = getattr(value, "fget", value)
    value = getattr(value, "__func__", value)
    value = getattr(value, "__wrapped__", value)
    return value if isinstance(value, FunctionType) else None


def _found(module: ModuleType, name: str) -> FunctionType | None:
    value: object = module
    for part in name.split("."):
        value = vars(value).get(part) if hasattr(value, "__dict__") else None
    function = _plain(value)
    return function if function is not None and function.__qualname__ == name else None


def _fits(code: CodeType, function: FunctionType) -> bool:
    """Whether a function can have this code: it needs the variables around it that the function has."""
    return code.co_freevars == function.__code__.co_freevars


def _as_decorated(code: CodeType, function: FunctionType) -> CodeType:
    """The code as ``types.coroutine`` made it, if it did."""
    return code.replace(co_flags=code.co_flags | function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _modules(module: ModuleType, prefixes: tuple[str, ...]) -> list[ModuleType]:
    """A module, and those with such names that are used from there, in the order in which they are found."""
    found = [module]
    for each in found:
        for value in list(vars(each).values()):
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            other = sys.modules.get(name) if isinstance(name, str) and name.startswith(prefixes) else None
            if other is not None and other not in found:
                found.append(other)
    return found


def _statements(module: ModuleType) -> list[tuple[Statement, ast.stmt]]:
    path = module.__file__ or ""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    lines = text.splitlines(keepends=True)
    return [
        (Statement("".join(lines[node.lineno - 1 : node.end_lineno]), node.lineno - 1, path), node)
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _count_rounds(module: ModuleType) -> dict[FunctionType, Code]:
    """Let a module's functions count their rounds, from now on; returns them."""
    functions: dict[FunctionType, Code] = {}
    setattr(module, _ROUND, _loops.round)
    for statement, node in _statements(module):
        counting = _Mistakes(random.Random(0)).visit(_parsed(statement))
        codes = _code_of(counting, statement)
        for name, tree in _functions(ast.Module([node], [])):
            function, code = _found(module, name), codes.get(name)
            if function is not None and code is not None and _fits(code, function):
                function.__code__ = _as_decorated(code, function)
                functions[function] = Code(statement, len(_places(tree)), _variables(tree))
    return functions


@define(eq=False)
class Mutant:
    """A program with mistakes, for one domain. ``made`` are the numbers of those that were executed so far."""

    codes: dict[FunctionType, CodeType]
    made: set[int] = field(factory=set)

    def _note(self, number: int) -> bool:
        self.made.add(number)
        return False

    def run(self, step: Callable[[], T]) -> tuple[T, bool]:
        """Do something with the mistakes in place; what came of it, and whether it would have gone on for ever."""
        true = {function: function.__code__ for function in self.codes}
        for function, code in self.codes.items():
            function.__globals__[_MADE] = self._note
            function.__code__ = code
        _loops.left, _loops.is_over = PATIENCE, False
        try:
            return step(), _loops.is_over
        finally:
            _loops.left = None
            for function, code in true.items():
                function.__code__ = code

    def undo(self) -> None:
        """Nothing is to be done: the mistakes are in place only while the program runs."""


class Text:
    """The code of a program: of its module, and of those that this uses."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    @cached_property
    def functions(self) -> dict[FunctionType, Code]:
        """Its functions that may get mistakes. Their loops, and those of the library, are counted from now on."""
        for module in _modules(self.module, LIBRARY):
            if module is not self.module and not hasattr(module, _ROUND):
                _count_rounds(module)
        found: dict[FunctionType, Code] = {}
        for module in _modules(self.module, OWN):
            found |= _count_rounds(module)
        return found

    @property
    def places(self) -> int:
        """How many places there are for a mistake."""
        return sum(code.places for code in self.functions.values())

    def mutant(self, seed: int, count: int) -> Mutant:
        """The program with so many mistakes at different places (or at all of them)."""
        chance = random.Random(seed)
        drawn = sorted(chance.sample(range(self.places), min(count, self.places)))
        by_statement: dict[Statement, list[tuple[FunctionType, tuple[str, ...], list[int]]]] = {}
        first = 0
        for function, code in self.functions.items():
            inside = [number - first for number in drawn if 0 <= number - first < code.places]
            if inside:
                by_statement.setdefault(code.statement, []).append((function, code.variables, inside))
            first += code.places
        mutant = Mutant({})
        for index, (statement, chosen) in enumerate(by_statement.items()):
            mutant.codes.update(_mutated(statement, chosen, chance, index << 16))
        return mutant


def _mutated(
    statement: Statement, chosen: list[tuple[FunctionType, tuple[str, ...], list[int]]], chance: random.Random,
    number: int,
) -> dict[FunctionType, CodeType]:  # fmt: skip
    """The code of functions with mistakes at these of their places; mistakes that no compiler takes are left out."""
    tree = _parsed(statement)
    mistakes = _Mistakes(chance)
    named = dict(_functions(tree))
    for function, variables, indices in chosen:
        places = _places(named[function.__qualname__])
        for index in indices:
            mistakes.numbers[places[index]] = (number := number + 1), variables
    try:
        codes = _code_of(mistakes.visit(tree), statement)
    except (SyntaxError, ValueError):
        return {}
    found = {function: codes.get(function.__qualname__) for function, _, _ in chosen}
    return {
        function: _as_decorated(code, function)
        for function, code in found.items()
        if code is not None and _fits(code, function)
    }
