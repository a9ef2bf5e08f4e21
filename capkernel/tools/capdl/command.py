"""``capkernel capdl``: read capDL, say what is wrong with it, print it in its normal form, build it; export systems.

An export is of a described system whose domains have all been started and have not yet run. It describes the initial
task too, so it can be built only where that has the same root image: ``boot x.cdl --like x.system``.

Exit status: 0 fine, 1 refused, 2 wrong usage. Complaints go to standard error, one a line, ``file:line:column: what``.
"""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from capkernel.runtime.described import DescribedSystem
from capkernel.system.board import DEFAULT_BOARD, UnknownBoardError, find_board
from capkernel.system.capdl import Spec, read, show
from capkernel.system.diagnostics import DescriptionError
from capkernel.tools.boards import advice
from capkernel.tools.capdl.boot import boot_from
from capkernel.tools.capdl.build import BuildError
from capkernel.tools.capdl.export import export
from capkernel.tools.capdl.limits import refusals
from capkernel.tools.capdl.unsaid import UNSAID
from capkernel.tools.demo.stage import UnknownSystemError, description
from capkernel.tools.kinds import Kind, is_another
from capkernel.tools.tour_systems import Booted
from hwmodel.board import UnknownMachineError

REFUSED, USAGE = 1, 2


class Action(Enum):
    """What to do with a file."""

    CHECK = "check"
    PRINT = "print"
    BOOT = "boot"
    EXPORT = "export"


def capdl(
    action: Annotated[
        Action, typer.Argument(help="check, print (normalised), boot (build it on a kernel), or export a system.")
    ],
    file: Annotated[
        Path, typer.Argument(help="The .cdl file; to export, the .system file or the name of an installed system.")
    ],
    like: Annotated[
        Path | None, typer.Option(help="Boot on the kernel, machine and root image of this system.")
    ] = None,
    search_path: Annotated[
        list[Path] | None, typer.Option("--search-path", help="Where a system's programs are; repeatable.")
    ] = None,
    board: Annotated[str, typer.Option(help="The machine of the system.")] = DEFAULT_BOARD.name,
    unsaid: Annotated[bool, typer.Option("--unsaid", help="Also list what capDL cannot say.")] = False,
) -> None:
    """Check, normalise or build a capDL specification for RISC-V; or make one of a system."""
    file = _wanted(file, Kind.SYSTEM if action is Action.EXPORT else Kind.CAPDL)
    like = None if like is None else _wanted(like, Kind.SYSTEM)
    try:
        system = _booted(file if action is Action.EXPORT else like, search_path or [], board)
        spec = export(system.state) if action is Action.EXPORT and system else read(file)
    except DescriptionError as error:
        _complain([str(problem) for problem in error.diagnostics])
    problems = refusals(spec)
    prints = action in (Action.PRINT, Action.EXPORT)
    if problems and not prints:
        _complain(problems)
    if prints:
        print(show(spec), end="")
    elif action is Action.CHECK:
        print(_summary(spec))
    else:
        _boot(spec, system)
    if unsaid:
        print("\ncapDL cannot say:")
        print("\n".join(f"  {topic}: {text}" for topic, text in UNSAID.items()))


def _wanted(file: Path, kind: Kind) -> Path:
    """The file that is meant, if it is there and of that kind."""
    try:
        file = description(file) if kind is Kind.SYSTEM else file
        file.open("rb").close()
        complaint = is_another(file, kind)
    except UnknownSystemError as error:
        complaint = str(error)
    except OSError as error:
        complaint = f"{file} cannot be read: {error.strerror}"
    if complaint:
        print(f"capkernel capdl: {complaint}", file=sys.stderr)
        raise typer.Exit(USAGE)
    return file


def _complain(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
    raise typer.Exit(REFUSED)


def _summary(spec: Spec) -> str:
    kinds = sorted({thing.kind for thing in spec.objects.values()})
    counts = ", ".join(f"{sum(1 for t in spec.objects.values() if t.kind == kind)} {kind}" for kind in kinds)
    return f"{len(spec.objects)} objects ({counts}), {len(spec.slots)} caps, {len(spec.cdt)} derivations"


def _booted(path: Path | None, search_path: list[Path], board: str) -> DescribedSystem | None:
    """A described system of which everything has been started and nothing has run yet."""
    if path is None:
        return None
    try:
        booted = Booted(path, search_path=search_path, board=find_board(board))
    except DescriptionError as error:
        advised = advice(path, [*search_path, path.parent], board)
        _complain([*map(str, error.diagnostics), *([f"capkernel capdl: {advised}"] if advised else [])])
    except (OSError, UnknownBoardError, UnknownMachineError) as error:
        print(f"capkernel capdl: {error}", file=sys.stderr)
        raise typer.Exit(USAGE) from None
    booted.boot()
    if not booted.system.ready:
        _complain([f"{path}: the initial task did not get to starting the system; `capkernel run` says why"])
    return booted.system


def _boot(spec: Spec, like: DescribedSystem | None) -> None:
    try:
        if like is None:
            built = boot_from(spec)
        else:
            built = boot_from(spec, like.state.config, like.machine.board, like.image)
    except BuildError as error:
        _complain(str(error).splitlines())
    for remark in built.remarks:
        print(remark, file=sys.stderr)
    print(show(built.export()), end="")
