"""Moving to another machine: what changes in a description, and whether it works there."""

from difflib import SequenceMatcher
from typing import Final

from capkernel.tools.contrast.builds import SECOND_BOARD, Build
from capkernel.tools.demo.stage import Stage, find_system

LONGEST_US: Final = 3_000_000
_REMARK: Final = "Needs "


def changed_lines(system: str) -> int:
    """Lines of the description that another board wants otherwise; what it says for people is not counted."""
    path = find_system(system)
    first, second = (
        [line for line in file.read_text(encoding="utf-8").splitlines() if _REMARK not in line]
        for file in (path, path.parent / SECOND_BOARD / path.name)
    )
    return sum(
        max(end - start, other_end - other_start)
        for tag, start, end, other_start, other_end in SequenceMatcher(None, first, second, False).get_opcodes()
        if tag != "equal"
    )


def works_there(build: Build, seed: int) -> bool:
    """Whether the client ends its work on the other board as on the first, and leaves the same disk."""
    first, second = (_disk(Stage(build.system, seed=seed, variant=each)) for each in (build.variant, SECOND_BOARD))
    return first is not None and first == second


def _disk(stage: Stage) -> bytes | None:
    """A hash of the disk when the client has ended; None if it did not, or something was wrong."""
    stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    is_right = stage.words("report", 3) == (1, 0, 0)
    stage.close()
    return stage.disk_digest() if is_right else None
