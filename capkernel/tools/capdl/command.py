"""``capkernel capdl``: read capDL, say what is wrong with it, print it in its normal form, or build it.

Exit status: 0 fine, 1 refused, 2 wrong usage. Complaints go to standard error, one a line, ``file:line:column: what``.
"""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from capkernel.system.capdl import Spec, read, show
from capkernel.system.capdl.checks import impossible
from capkernel.system.diagnostics import DescriptionError
from capkernel.tools.capdl.boot import boot_from
from capkernel.tools.capdl.build import BuildError
from capkernel.tools.capdl.unsaid import UNSAID

FINE, REFUSED = 0, 1


class Action(Enum):
    """What to do with a file."""

    CHECK = "check"
    PRINT = "print"
    BOOT = "boot"


def capdl(
    action: Annotated[Action, typer.Argument(help="check, print (normalised), or boot (build it on a kernel).")],
    file: Annotated[Path, typer.Argument(help="The .cdl file.", dir_okay=False)],
    unsaid: Annotated[bool, typer.Option("--unsaid", help="Also list what capDL cannot say.")] = False,
) -> None:
    """Check, normalise or build a capDL specification for RISC-V."""
    try:
        spec = read(file)
    except DescriptionError as error:
        _complain([str(problem) for problem in error.diagnostics])
    problems = impossible(spec)
    if problems and action is not Action.PRINT:
        _complain(problems)
    if action is Action.PRINT:
        print(show(spec), end="")
    elif action is Action.CHECK:
        print(_summary(spec))
    else:
        _boot(file, spec)
    if unsaid:
        print("\ncapDL cannot say:")
        print("\n".join(f"  {topic}: {text}" for topic, text in UNSAID.items()))


def _complain(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
    raise typer.Exit(REFUSED)


def _summary(spec: Spec) -> str:
    kinds = sorted({thing.kind for thing in spec.objects.values()})
    counts = ", ".join(f"{sum(1 for t in spec.objects.values() if t.kind == kind)} {kind}" for kind in kinds)
    return f"{len(spec.objects)} objects ({counts}), {len(spec.slots)} caps, {len(spec.cdt)} derivations"


def _boot(file: Path, spec: Spec) -> None:
    try:
        built = boot_from(spec)
    except BuildError as error:
        _complain(str(error).splitlines())
    for remark in built.remarks:
        print(remark, file=sys.stderr)
    print(show(built.export()), end="")
