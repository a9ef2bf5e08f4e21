"""How much source a program consists of: its module and all that it imports of ours, lines of code only."""

import ast
import importlib.util
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

PROGRAMS = "capkernel.programs"
OURS = ("servers.", "capkernel.protocols", "capkernel.user")
"""Packages that are counted; ``capkernel.abi`` and ``capkernel.system`` are constants and formats."""


def own_lines(*names: str) -> int:
    """Lines of code of some installed programs' own modules together, without what they import."""
    modules = _modules()
    return sum(_lines(modules[name]) for name in names)


def _modules() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=PROGRAMS)}


def program_lines(*names: str) -> int:
    """Lines of code of the modules of some installed programs together."""
    modules = _modules()
    found: set[str] = set()
    for name in names:
        _collect(modules[name], found)
    return sum(_lines(module) for module in found)


def _collect(module: str, found: set[str]) -> None:
    if module in found or not module.startswith(OURS):
        return
    found.add(module)
    for imported in _imports(module):
        _collect(imported, found)


@cache
def _tree(module: str) -> ast.Module | None:
    path = _path(module)
    return ast.parse(path.read_text(encoding="utf-8")) if path else None


def _path(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(module: str) -> list[str]:
    tree = _tree(module)
    found: list[str] = []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names if _is_module(node.module, alias.name)]
    return found


@cache
def _is_module(package: str, name: str) -> bool:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        return False
    return any((Path(place) / f"{name}.py").exists() for place in spec.submodule_search_locations)


@cache
def _lines(module: str) -> int:
    """Lines that hold code: no comments, docstrings or empty lines."""
    tree = _tree(module)
    if tree is None:
        return 0
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not _is_docstring(node):
            lines.add(node.lineno)
        elif isinstance(node, ast.expr) and not isinstance(node, ast.Constant):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
