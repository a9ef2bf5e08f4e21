"""The catalogue: one class a row of ``SEEDED_BUGS.md``, by subject; ``ROWS`` has them all, in that order."""

from types import ModuleType

from specs.bugs.catalogue import caps, ipc, memory, others, scheduling, vspace
from specs.bugs.model import Bug, Row

_MODULES = (caps, memory, vspace, ipc, scheduling, others)


def _rows(module: ModuleType) -> list[type[Row]]:
    return [
        item for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Row) and item.__module__ == module.__name__
    ]  # fmt: skip


ROWS: dict[str, type[Row]] = {
    row.id(): row for row in sorted((r for m in _MODULES for r in _rows(m)), key=lambda row: int(row.id()[1:]))
}
BUGS: dict[str, type[Bug]] = {name: row for name, row in ROWS.items() if issubclass(row, Bug)}
"""The rows that can be planted."""
