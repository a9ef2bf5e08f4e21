"""``capkernel check``: is a ``.system`` description valid, and what authority does it give?

The system is the one that ``capkernel run`` boots: instructions for capkernel in the file (grants, kernel options) are
judged as well, and what they grant is part of the authority. Debug calls are part of it only if the kernel has them: a
``release`` or ``benchmark`` kernel has none, whatever the file says. Programs may be missing, and the machine too
small: that is a finding.

Exit status: 0 accepted (or ``--may``: yes), 1 refused (or ``--may``: no, or ``--strict`` and
there are findings; or ``--policy``: authority may rise above the ceiling), 2 wrong usage. Complaints go to standard
error, answers to standard output.
"""

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capkernel.system.authority import AuthorityGraph, Node, authority_of
from capkernel.system.board import (
    DEFAULT_BOARD,
    DEFAULT_CONFIG,
    UnknownBoardError,
    find_board,
)
from capkernel.system.ceiling import drafted
from capkernel.system.closure import Answer, Closure, Query
from capkernel.system.description import SystemDescription
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.extensions import Extensions, load_extensions
from capkernel.system.findings import Finding, findings
from capkernel.system.microkit import load
from capkernel.system.render import (
    COLUMNS,
    diagnostic_data,
    finding_data,
    graph_data,
    place_data,
    rows,
    to_dot,
    to_mermaid,
)
from capkernel.tools.absent import absent
from capkernel.tools.boards import advice
from capkernel.tools.ceiling import judge
from capkernel.tools.demo.stage import UnknownSystemError, description
from capkernel.tools.kinds import Kind, is_another
from capkernel.tools.tables import need_tables

ACCEPTED, REFUSED, USAGE = 0, 1, 2


class Format(Enum):
    """How the authority is shown."""

    TABLE = "table"
    DOT = "dot"
    MERMAID = "mermaid"
    JSON = "json"


def check(
    file: Annotated[Path, typer.Argument(help="The .system description, or the name of an installed system.")],
    right: Annotated[Query | None, typer.Argument(help="With --may: the right to ask for.")] = None,
    search_path: Annotated[
        list[Path] | None,
        typer.Option("--search-path", help="Where prefill files and programs are; repeatable."),
    ] = None,
    board: Annotated[str, typer.Option(help="The board to judge for.")] = DEFAULT_BOARD.name,
    config: Annotated[str, typer.Option(help="The kernel configuration.")] = DEFAULT_CONFIG,
    format: Annotated[Format, typer.Option(help="How to show the authority.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on findings.")] = False,
    may: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--may",
            metavar="A B [RIGHT]",
            help="May A come to do RIGHT to B: read, write, call, notify it, obtain any right on it, influence it?",
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="A declared ceiling: can authority rise above it?", dir_okay=False)
    ] = None,
    draft_policy: Annotated[
        bool, typer.Option("--draft-policy", help="Print the lowest ceiling that trusts nobody.")
    ] = False,
) -> None:
    """Judge a Microkit system description and show the authority that it gives."""
    shape = Format.JSON if as_json else format
    if right is not None and may is None:
        raise typer.BadParameter("a right is only asked for with --may A B RIGHT")
    if (may is not None) + (policy is not None) + draft_policy > 1:
        raise typer.BadParameter("--may, --policy and --draft-policy are questions; ask one at a time")
    try:
        file = description(file)
    except UnknownSystemError as error:
        raise typer.BadParameter(str(error)) from None
    if another := is_another(file, Kind.SYSTEM):
        raise typer.BadParameter(another)
    places = [*(search_path or []), file.parent, Path.cwd()]
    system, said = _load(file, places, board, config, shape)
    graph = authority_of(system, said.grants, has_debug_calls=said.options.debug and _answers_debug_calls(config))
    if may is not None:
        raise typer.Exit(_answer(graph, *may, right, shape))
    if policy is not None:
        raise typer.Exit(judge(graph, policy, as_json=shape is Format.JSON))
    if draft_policy:
        typer.echo(drafted(graph), nl=False)
        raise typer.Exit(ACCEPTED)
    found = tuple(
        sorted((*findings(graph), *absent(system, said, places)), key=lambda finding: (finding.where, finding.rule))
    )
    _show(graph, found, shape)
    raise typer.Exit(REFUSED if strict and found else ACCEPTED)


def _answers_debug_calls(config: str) -> bool:
    """Whether a kernel of that configuration has debug system calls, if nothing else is said."""
    return config.removeprefix("smp-") == DEFAULT_CONFIG


def _load(
    file: Path, places: list[Path], board: str, config: str, shape: Format
) -> tuple[SystemDescription, Extensions]:  # fmt: skip
    """What the description says."""
    try:
        system = load(file, search_path=places, board=find_board(board), config=config)
        said = load_extensions(file, system)
        need_tables(system, said, places)
        return system, said
    except DescriptionError as error:
        if shape is Format.JSON:
            reasons = [diagnostic_data(diagnostic) for diagnostic in error.diagnostics]
            _print_json({"valid": False, "diagnostics": reasons})
        for diagnostic in error.diagnostics:
            typer.echo(f"error: {diagnostic}", err=True)
        count = len(error.diagnostics)
        typer.echo(f"{file} is refused: {count} {'error' if count == 1 else 'errors'}", err=True)
        if advised := advice(file, places, board):
            typer.echo(advised, err=True)
        raise typer.Exit(REFUSED) from None
    except UnknownBoardError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None


def _answer(graph: AuthorityGraph, subject: str, object: str, right: Query | None, shape: Format) -> int:
    """Answer ``--may``; without a right every right is asked for."""
    try:
        ends = graph.find(subject), graph.find(object)
    except LookupError as error:
        raise typer.BadParameter(str(error.args[0])) from None
    closure = Closure(graph)
    answers = {query: closure.may(*ends, query) for query in ([right] if right else Query)}
    still = None if right is None or answers[right].yes else _still(closure, *ends, right)
    if shape is Format.JSON:
        told = [_answer_data(*ends, q, a) for q, a in answers.items()]
        influence = still and {"subject": still[0].full_name, "object": still[1].full_name}
        _print_json({"answers": told, "influence": influence})
    else:
        for query, answer in answers.items():
            _print_answer(*ends, query, answer)
        if still:
            names = f"{still[0]} {still[1]} influence"
            typer.echo(f"    yet {still[0]} may influence {still[1]}, by other ways: --may {names}")
    return ACCEPTED if any(answer.yes for answer in answers.values()) else REFUSED


def _still(closure: Closure, subject: Node, object: Node, right: Query) -> tuple[Node, Node] | None:
    """Who may influence whom though the right cannot be had; to read is to be influenced."""
    if right not in (Query.READ, Query.WRITE, Query.CALL):
        return None
    ends = (object, subject) if right is Query.READ else (subject, object)
    return ends if closure.may(*ends, Query.INFLUENCE).yes else None


def _print_answer(subject: Node, object: Node, query: Query, answer: Answer) -> None:
    typer.echo(f"{'yes' if answer.yes else 'no'}: {subject} {query.value} {object}")
    for step in answer.steps:
        typer.echo(f"    {step}")
    if answer.yes:
        typer.echo(f"    rules used: {', '.join(answer.rules) or 'none, they are the same'}")


def _answer_data(subject: Node, object: Node, query: Query, answer: Answer) -> dict[str, object]:
    steps = [
        {
            "rule": step.rule,
            "text": step.text,
            **(place_data(step.edge.where) if step.edge else {}),
        }
        for step in answer.steps
    ]
    return {
        "subject": subject.full_name,
        "right": query.value,
        "object": object.full_name,
        "may": answer.yes,
        "rules": list(answer.rules),
        "path": steps,
    }


def _show(graph: AuthorityGraph, found: tuple[Finding, ...], shape: Format) -> None:
    """Show the authority; findings go to standard error except in JSON, which holds them."""
    match shape:
        case Format.TABLE:
            _print_table(graph)
        case Format.DOT:
            typer.echo(to_dot(graph), nl=False)
        case Format.MERMAID:
            typer.echo(to_mermaid(graph), nl=False)
        case Format.JSON:
            notes = [finding_data(finding) for finding in found]
            _print_json({"valid": True, **graph_data(graph), "findings": notes})
    for finding in () if shape is Format.JSON else found:
        typer.echo(f"finding: {finding}", err=shape is not Format.TABLE)


def _print_table(graph: AuthorityGraph) -> None:
    system = graph.system
    table = Table(*COLUMNS, title=f"authority in {system.name}", title_justify="left")
    for row in rows(graph):
        table.add_row(*(Text(cell) for cell in row.cells()))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, console.measure(table).maximum))
    console.print(table)
    pds, regions = len(system.protection_domains), len(system.memory_regions)
    typer.echo(
        f"valid for {system.platform.board} ({system.platform.config}): "
        f"{pds} protection domains, {regions} memory regions, {len(system.channels)} channels"
        + (f", {len(graph.grants)} grants" if graph.grants else "")
    )


def _print_json(data: dict[str, object]) -> None:
    typer.echo(json.dumps(data, indent=2))
