"""Source lines of the kernel (no comments, blanks, docstrings, imports, tables) and the lengths of its functions."""

import ast
import io
import statistics
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "capkernel"
LIMIT = 3000
"""Source lines that the kernel must fit in."""
EXTENSION = ("iospace.py",)
"""I/O spaces are not counted: the reference configuration has none."""


def code_lines(source: str) -> set[int]:
    """Line numbers that hold code: no comment, blank, docstring, import, or part of a module-level table."""
    tree = ast.parse(source)
    dropped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            dropped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            dropped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict | ast.Tuple):
            dropped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    skip = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    used = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in skip
        for line in range(token.start[0], token.end[0] + 1)
    }
    return used - dropped


def functions(source: str) -> list[int]:
    """Lengths of all functions, in lines without their docstrings."""
    lines = code_lines(source)
    return [
        len(lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    ]


def main() -> int:
    """Print the figures; exit status 1 if a limit is passed."""
    files = [path for path in sorted((ROOT / "kernel").rglob("*.py")) if path.name not in EXTENSION]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    total = sum(len(code_lines(text)) for text in texts.values())
    lengths = [length for text in texts.values() for length in functions(text)]
    longest = max(texts, key=lambda path: texts[path].count("\n"))
    print(f"kernel: {total} source lines in {len(files)} files (limit {LIMIT})")
    print(f"functions: {len(lengths)}, median {statistics.median(lengths):g} lines (limit 8), longest {max(lengths)}")
    print(f"longest file: {longest.relative_to(ROOT)} with {texts[longest].count(chr(10))} lines (limit 400)")
    within = total <= LIMIT and statistics.median(lengths) <= 8 and texts[longest].count("\n") <= 400
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
