"""What policy costs: decisions, taking back by the number of holders, new rules by the number of grants, a membrane.

``python -m bench.policies [--json]``. Host time is CPU time, the least of several runs where many were made; virtual
time and kernel entries are exact, but for the slice of time in which a mark is seen. The last columns are the ratio to
what is named beside it, in the same process.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

from attrs import asdict, evolve, frozen
from rich.console import Console
from rich.table import Table

from bench.objects import revoke
from bench.policing.policing import ANSWERED, ASKED, CHANGES, ENTRIES, HELD, HOLDS, ROUNDS
from bench.timing import least
from capkernel.protocols.brokering import READ, Question
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.meter import Meter
from hwmodel.virtio import virtio_rng
from policies.models.model import Model
from policies.office import Office
from policies.rules import read_rules

PROGRAMS = Path(__file__).parent / "policing"
BANK = Path(__file__).resolve().parent.parent / "examples" / "policies" / "bank.toml"
HOLDERS = (1, 10, 100, 1_000, 10_000, 100_000)
GRANTS = (0, 10, 100, 1_000, 10_000)
LONGEST_US, SLICE_US = 20_000_000, 2
CEDAR = {
    "policies": '@id("staff read")\npermit(principal in Group::"staff", action == Action::"read", resource);',
    "entities": json.dumps([
        {"uid": {"type": "Group", "id": "staff"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Subject", "id": "alice"}, "attrs": {}, "parents": [{"type": "Group", "id": "staff"}]},
        {"uid": {"type": "Service", "id": "plans"}, "attrs": {}, "parents": []},
    ]),
    "schema": """
        entity Group; entity Subject in [Group]; entity Service;
        action read, write appliesTo { principal: [Subject], resource: [Service],
            context: { purpose: String, duration_us: Long, now_us: Long, depth: Long } };
    """,
}  # fmt: skip


@frozen
class Row:
    """One measurement, of one of its kind."""

    what: str
    number: int | None = None
    kernel_entries: float | None = None
    virtual_us: float | None = None
    host_us: float | None = None
    beside: str = ""
    ratio: float | None = None


def question(subject: str, service: str, number: int = 1) -> Question:
    """One that can be asked of every model."""
    return Question(number, subject, service, READ, "", 1_000, 0, 0)


def decisions() -> Iterator[Row]:
    """Models as plain code, beside a look-up in a dictionary; Cedar beside the library called directly."""
    table = {("alice", "loans", READ): True}
    floor = _each(lambda: table["alice", "loans", READ])
    rules = read_rules(BANK.read_text())
    models: list[tuple[str, Model]] = [(model.name, model) for model in rules.models]
    for name, model in [*models, ("all of these", rules)]:
        asked = question("alice", "loans")
        us = _each(lambda model=model, asked=asked: model.judge(asked))
        yield Row(f"decide: {name}", host_us=us, beside="a dictionary", ratio=us / floor)
    yield from _cedar()


def _cedar() -> Iterator[Row]:
    try:
        import cedarpy

        from policies.models.cedar import Cedar, Rules
    except ImportError:
        print("Cedar is NOT MEASURED: it is not installed", file=sys.stderr)
        return
    rules = Rules(**CEDAR)
    model = Cedar(rules)
    parsed = cedarpy.PolicySet.from_str(rules.policies)
    schema = cedarpy.Schema.from_str(rules.schema)
    entities = cedarpy.Entities.from_json_str(rules.entities, schema)
    request = {
        "principal": {"type": "Subject", "id": "alice"}, "action": {"type": "Action", "id": "read"},
        "resource": {"type": "Service", "id": "plans"},
        "context": {"purpose": "", "duration_us": 1_000, "now_us": 0, "depth": 0},
    }  # fmt: skip
    floor = _each(lambda: cedarpy.is_authorized(request, parsed, entities, schema), 200)
    durations = iter(range(10**9))

    def cold() -> None:
        model.judge(Question(1, "alice", "plans", READ, "", next(durations), 0, 0))

    asked = question("alice", "plans")
    for name, us in (("cold", _each(cold, 200)), ("cached", _each(lambda: model.judge(asked)))):
        yield Row(f"decide: Cedar, {name}", host_us=us, beside="the library itself", ratio=us / floor)


def _each(work: Callable[[], object], count: int = 2_000) -> float:
    def repeated() -> None:
        for _ in range(count):
            work()

    return least(repeated, count)


def taking_back() -> Iterator[Row]:
    """One Revoke by the kernel, by the number of caps that were derived."""
    first = 0.0
    for holders in HOLDERS:
        us = revoke(holders, chained=False) * holders
        first = first or us
        yield Row("take back from all holders", holders, host_us=us, beside="one holder", ratio=us / first)


def new_rules() -> Iterator[Row]:
    """Judging each grant anew, as the office does it; without the services that are asked to take back."""
    first = 0.0
    for grants in GRANTS:
        us = _judged_anew(grants)
        first = first or us
        yield Row("judge grants anew", grants, host_us=us, beside="no grant", ratio=us / first)


def _judged_anew(grants: int) -> float:
    """Microseconds."""
    text = BANK.read_text()
    made: list[Office] = []

    def prepare() -> None:
        office = Office(read_rules(text))
        for number in range(1, grants + 1):
            office.enter(question("alice", "loans", number))
        made[:] = [office]

    return least(lambda: made[0].change(read_rules(text)), 1, prepare)


def broker() -> Iterator[Row]:
    """Asking a broker in a system, which asks a policy server in turn; and new rules for it."""
    with TemporaryDirectory() as folder:
        for file in PROGRAMS.glob("*.py"):
            copy(file, folder)
        stage = Stage(
            "policies", devices={"virtio1": virtio_rng(seed=1)}, variant=folder,
            programs={"alice": "asker.elf", "operator": "changer.elf", "bob": "quiet.elf", "mallory": "quiet.elf"},
        )  # fmt: skip
        _reach(stage, "report_alice", 1)
        meter = Meter(stage)
        _reach(stage, "report_alice", 2)
        row, engine = Row("ask the broker, which asks a policy server", None, *meter.each(ROUNDS)), _engine()
        yield evolve(row, beside="its rules, called directly", ratio=(row.host_us or 0) / engine)
        changes = 0
        for held in HELD:
            changes = _change(stage, changes + 1)
            stage.write_words("report_alice", 2, 0, held)
            _wait(stage, lambda held=held: stage.words("report_alice", 3)[HOLDS] == held)
            changes = _change(stage, changes + 1)
            words = stage.words("report_operator", 5)
            if words[ENTRIES] != held:
                raise RuntimeError(f"{held} grants were to end, and {words[ENTRIES]} did")
            yield Row("new rules that end all grants", held, None, (words[ANSWERED] - words[ASKED]) / 10)
            stage.write_words("report_alice", 2, held, 0)
            _wait(stage, lambda: stage.words("report_alice", 3)[HOLDS] == 0)
        stage.close()


def _engine() -> float:
    """Microseconds for what the broker decides by itself."""
    rules = read_rules((find_system("policies").parent / "policies_rules.toml").read_text())
    asked = question("alice", "plans")
    return _each(lambda: rules.judge(asked))


def _change(stage: Stage, number: int) -> int:
    stage.write_words("report_operator", *stage.words("report_operator", 4), number)
    _wait(stage, lambda: stage.words("report_operator", 1)[CHANGES] >= number)
    return number


def _reach(stage: Stage, region: str, mark: int) -> None:
    _wait(stage, lambda: stage.words(region, 1)[0] >= mark, growth=1)


def _wait(stage: Stage, is_over: Callable[[], bool], growth: float = 1.5) -> None:
    if not stage.run_until(is_over, LONGEST_US, SLICE_US, growth=growth):
        raise RuntimeError("the programs do not get on")


def membranes() -> Iterator[Row]:
    """A read of 512 bytes, of a library directly and through a membrane."""
    direct: float | None = None
    for name, server in (("directly", "library"), ("through a membrane", "membrane")):
        with TemporaryDirectory() as folder:
            stage = Stage("membrane", variant=str(_library(Path(folder), server)))
            _reach(stage, "report_borrower", 1)
            meter = Meter(stage)
            _reach(stage, "report_borrower", 2)
            row = Row(f"read 512 bytes {name}", None, *meter.each(ROUNDS))
            stage.close()
        host = row.host_us or 0.0
        direct = direct or host
        yield evolve(row, beside="directly", ratio=host / direct)


def _library(folder: Path, server: str) -> Path:
    """A variant of the system of membranes in which the borrower only reads, from one of the servers."""
    path = find_system("membrane")
    text = path.read_text().replace("borrower.elf", "reader.elf")
    home = re.compile(r'(pd="borrower" kind="endpoint" of=")membrane(" slot="310")')
    text, found = home.subn(rf"\g<1>{server}\g<2>", text)
    if found != 1:
        raise RuntimeError("the system of membranes is not as this benchmark knows it")
    (folder / path.name).write_text(text)
    for file in (*path.parent.glob("membrane*.toml"), PROGRAMS / "reader.py"):
        copy(file, folder)
    return folder


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] not in ([], ["--json"]):
        sys.exit("usage: python -m bench.policies [--json]")
    rows = [row for part in (decisions, taking_back, new_rules, broker, membranes) for row in part()]
    if sys.argv[1:]:
        print(json.dumps([asdict(row) for row in rows]))
        return
    table = Table()
    for heading in ("what", "number", "kernel entries", "virtual µs", "host µs", "×", "of"):
        table.add_column(heading, justify="left" if heading in ("what", "of") else "right")
    for row in rows:
        table.add_row(
            row.what, "" if row.number is None else f"{row.number:,}", _shown(row.kernel_entries),
            _shown(row.virtual_us), _shown(row.host_us), _shown(row.ratio), row.beside,
        )  # fmt: skip
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
