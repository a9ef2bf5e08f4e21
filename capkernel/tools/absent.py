"""What a valid description asks for that is not here: program images, and what the machine of its board has not got.

Neither makes a description invalid: it may be judged before anything was compiled, and for another machine.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from capkernel.runtime.limits import require_machine
from capkernel.runtime.platform import PRESETS, configure
from capkernel.system.context import Context
from capkernel.system.description import SystemDescription
from capkernel.system.diagnostics import DescriptionError, Location
from capkernel.system.extensions import Extensions
from capkernel.system.findings import Finding
from capkernel.system.images import find_image
from hwmodel.board import BOARDS


def absent(system: SystemDescription, said: Extensions, search_path: Sequence[Path]) -> Iterator[Finding]:
    """Findings about what ``capkernel run`` would not find."""
    context = Context(platform=system.platform, search_path=search_path)
    for pd, path, where in _images(system, said):
        if find_image(context, path) is None:
            places = ", ".join(dict.fromkeys(map(str, search_path)))
            message = f"the program {path} of '{pd}' is not in {places}, nor installed"
            yield Finding("missing-program", message, where)
    yield from _beyond_the_machine(system)


def _images(system: SystemDescription, said: Extensions) -> Iterator[tuple[str, str, Location]]:
    """Each with its domain and its place."""
    for pd in system.protection_domains:
        for path in dict.fromkeys((pd.program.path, pd.program.path_for_symbols)):
            if path is not None:
                yield pd.name, path, pd.program.where
    for other in said.alternatives:
        yield other.pd, other.program, other.where


def _beyond_the_machine(system: SystemDescription) -> Iterator[Finding]:
    """Memory and interrupts; nothing is known of machines that are not modelled."""
    board = BOARDS.get(system.platform.board)
    if board is None:
        return
    try:
        require_machine(system, configure(PRESETS["microkit"], board))
    except DescriptionError as error:
        for problem in error.diagnostics:
            yield Finding("beyond-the-machine", problem.message, problem.where)
