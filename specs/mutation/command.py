"""``capkernel mutate``: change the kernel in small ways, and see whether anything notices.

It goes on where it was stopped. Exit status: 0 all mutants were tried, enough of them killed, and every explanation is
right; 1 not so; 2 wrong usage, or what it needs is not there.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from capkernel.tools.stopping import goes_on_from
from specs.mutation.explained import Unreadable, explanations
from specs.mutation.figures import ALL, COLUMNS, EQUIVALENT, WAITING, Figures, data, figures, rows, score
from specs.mutation.mutants import ROOT, Mutant, UnknownModule, modules, mutants_of
from specs.mutation.verdict import SURVIVED

GOOD, BAD, USAGE = 0, 1, 2
GOLDEN = ROOT / "tests" / "golden"
SURVEY = ROOT / "build" / "mutation-survey.json.gz"
"""What is known of the cases; any campaign may use it."""
WIDTH = 110
"""Columns of a report that goes to a file."""
NEEDS = "this needs mutmut, coverage, pytest and hypothesis: pip install 'capkernel[mutation]'"


def mutate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODULE]...", help="Modules, such as scheduler; none means all.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Processor time for one mutant at most.")] = 20.0,
    most: Annotated[int | None, typer.Option(min=0, help="Mutants to try now at most; 0 only reports.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Mutants that are tried at a time.")] = 1,
    record: Annotated[Path, typer.Option(metavar="FILE", help="Where results are kept, to go on from.")] = Path(
        "build/mutation.json"
    ),
    diffs: Annotated[bool, typer.Option("--diffs", help="Show what each survivor changes.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Report as Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Change each function of the kernel in small ways, and see that something notices."""
    if markdown and as_json:
        _refuse("--markdown and --json are two forms; give one")
    try:
        mutants = [mutant for name in names or modules() for mutant in mutants_of(name)]
        found = _run(mutants, record, seconds, most, workers)
    except (UnknownModule, Unreadable) as error:
        _refuse(str(error))
    except ImportError as error:
        _refuse(f"{error.name} is not there; {NEEDS}")
    if as_json:
        print(json.dumps(data(found), indent=2))
    elif markdown:
        print(_markdown(found))
    else:
        _print(found, diffs=diffs)
    raise typer.Exit(GOOD if found.good else BAD)


def _refuse(message: str) -> NoReturn:
    typer.echo(f"mutate: {message}", err=True)
    raise typer.Exit(USAGE)


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    # Without the thread that draws by itself: processes are forked meanwhile.
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False, disable=not sys.stderr.isatty())


def _run(mutants: Sequence[Mutant], record: Path, seconds: float, most: int | None, workers: int) -> Figures:
    # Late, as this imports the kernel, pytest and all that judges.
    from specs.mutation.campaign import Campaign, Record
    from specs.mutation.cases import Case, programs
    from specs.mutation.survey import Sources, Survey, Unfit
    from specs.mutation.tests import NotCollected, with_tests

    explained = explanations()
    found: list[Figures] = []

    def with_cases(tests: Sequence[Case]) -> None:
        sources = Sources(GOLDEN)
        survey = Survey(SURVEY, [*programs(GOLDEN), *tests], sources)
        campaign = Campaign(mutants, survey, sources, Record(record), seconds)
        if most != 0:
            missing = survey.missing()
            with goes_on_from(record, "mutate"):
                _shown("measuring cases", len(missing), survey.complete(workers))
                _shown("mutants", len(campaign.pending()[:most]), (1 for _ in campaign.run(workers, most)))
        found.append(figures(((mutant, campaign.verdict(mutant)) for mutant in mutants), explained))

    try:
        with_tests(with_cases)
    except (NotCollected, Unfit) as error:
        _refuse(str(error))
    return found[0]


def _shown(what: str, total: int, steps: Iterator[int]) -> None:
    """Let something long happen, and show how far it is."""
    with _progress() as progress:
        task = progress.add_task(what, total=total)
        for number in steps:
            progress.advance(task, number)
            progress.refresh()


# For people


def _print(found: Figures, *, diffs: bool) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    table = Table("module", title="Mutants of capkernel/kernel", title_justify="left")
    for column in (*COLUMNS, "killed of those that count"):
        table.add_column(column, justify="right")
    for name, counts, share in rows(found):
        if name == ALL:
            table.add_section()
        table.add_row(name, *(f"{count:,}" for count in counts), f"{share:.1%}")
    console.print(table)
    for survivor in found.survivors if diffs else ():
        typer.echo(f"{survivor.mutant.title}\n{survivor.mutant.diff}\nsurvives {survivor.cases} cases\n")
    for explanation in found.stale:
        typer.echo(f"stale, there is no such mutant any more:\n{explanation.name}\n")
    for explanation, by in found.wrong:
        typer.echo(f"wrong, {by} notices what is explained as equivalent:\n{explanation.name}\n")
    typer.echo(_firsts(found))
    typer.echo(_summary(found))


def _firsts(found: Figures) -> str:
    """Which kinds of cases noticed something first, in words."""
    counts = [f"{name} {count:,}" for name, count in found.first.most_common() if count]
    return f"noticed first by: {', '.join(counts) or 'nothing'}; {found.seconds:,.0f} s of processor time"


def _summary(found: Figures) -> str:
    total = found.total
    tried = sum(total.values()) - total[WAITING]
    return (
        f"mutate: {tried} of {sum(total.values())} mutants tried, {total[SURVIVED]} survived, "
        f"{total[EQUIVALENT]} equivalent, {score(total):.2%} of the others noticed"
    )


def _markdown(found: Figures) -> str:
    head = "module", *COLUMNS, "killed of those that count"
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for name, counts, share in rows(found):
        lines.append(f"| {name} | " + " | ".join(f"{count:,}" for count in counts) + f" | {share:.1%} |")
    return "\n".join([*lines, "", _firsts(found).capitalize() + "."])
