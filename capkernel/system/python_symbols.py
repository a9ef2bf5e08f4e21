"""What can be set in a Python program, read from its text; it is not executed, as an ELF file is not either.

Symbols are the module's names with an annotation, and those of its class ``Program`` and the classes that this inherits
from, as far as they are defined in the same file or imported by name.
"""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROGRAM: Final = "Program"
_NEVER_SET: Final = ("Final", "ClassVar")
_DEEPEST: Final = 8
"""Classes above one another that are looked through."""


def python_symbols(path: Path) -> set[str]:
    """The names. Raises SyntaxError, ValueError or OSError if the file is no Python program."""
    module = _parsed(path)
    return {*_annotated(module.body), *_of_class(path, PROGRAM, _DEEPEST)}


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def _annotated(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kind = statement.annotation
            outer = kind.value if isinstance(kind, ast.Subscript) else kind
            if not (isinstance(outer, ast.Name) and outer.id in _NEVER_SET):
                yield statement.target.id


def _of_class(path: Path, name: str, left: int) -> Iterator[str]:
    """The annotated names of a class, and of those that it inherits from."""
    module = _parsed(path)
    for statement in module.body:
        if isinstance(statement, ast.ClassDef) and statement.name == name and left:
            yield from _annotated(statement.body)
            for base in statement.bases:
                if isinstance(base, ast.Name):
                    yield from _of_class(path, base.id, left - 1)
        elif isinstance(statement, ast.ImportFrom) and left:
            for alias in statement.names:
                found = _module_path(path, statement) if (alias.asname or alias.name) == name else None
                if found is not None:
                    yield from _of_class(found, alias.name, left - 1)


def _module_path(path: Path, statement: ast.ImportFrom) -> Path | None:
    """The file of a module from which something is imported, if it is Python."""
    if statement.level:
        beside = path.parent.joinpath(*(statement.module or "").split(".")).with_suffix(".py")
        return beside if statement.level == 1 and beside.exists() else None
    try:
        spec = importlib.util.find_spec(statement.module or "")
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None
