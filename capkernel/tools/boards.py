"""For which of the machines that are modelled a description is valid that is refused for one of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from capkernel.system.board import find_board
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools.tables import need_tables
from hwmodel.board import BOARDS


def advice(file: Path, search_path: Sequence[Path], refused: str) -> str:
    """What ``--board`` would be right, in a line; empty if none would."""
    names = list(_accepting(file, search_path, refused))
    return f"{file} is valid for another machine: --board {' or '.join(names)}" if names else ""


def _accepting(file: Path, search_path: Sequence[Path], refused: str) -> Iterator[str]:
    for name in BOARDS:
        try:
            if name != refused:
                system = load(file, search_path=search_path, board=find_board(name))
                need_tables(system, load_extensions(file, system), search_path)
                yield name
        except (DescriptionError, OSError):
            continue
