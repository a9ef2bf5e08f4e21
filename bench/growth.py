"""How costs grow: with the number of files in a directory, of clients who read at once, of open connections.

``python -m bench.growth [--json]``. Virtual time and kernel entries are exact; host time is CPU time, of one run. The
last column says how many times the first row of its kind the host's time is: what it would be if nothing grew is 1.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from time import process_time

from attrs import asdict, frozen
from littlefs import LittleFS
from rich.console import Console
from rich.table import Table

from bench.growing.growing import KINDS, ROUNDS, SIZES
from bench.meter import Meter
from bench.network import MACHINE, WEB, System
from capkernel.tools.demo.stage import Stage, find_system
from servers.net.lwip import AVAILABLE, WHY_NOT

PROGRAMS = Path(__file__).parent / "growing"
LONGEST_US, SLICE_US = 20_000_000, 10
CLIENTS = (1, 2, 4, 8)
READS = 200
CONNECTIONS = (1, 4, 16)
ECHOES = 40
CLIENT = re.compile(r'    <protection_domain name="client".*?</protection_domain>\n', re.DOTALL)


@frozen
class Growth:
    """One measurement: what, at which number of what else, for each; and the library by itself, if that can be said."""

    what: str
    number: int
    of: str
    kernel_entries: float
    virtual_us: float
    host_us: float
    alone_us: float | None = None


def files() -> Iterator[Growth]:
    """Opening, making and listing files, by the number of files in the directory."""
    stage = Stage("storage", variant=str(PROGRAMS), programs={"client": "growing.elf"})
    directly = alone()
    mark = 0
    for size in SIZES:
        for kind in KINDS:
            _reach(stage, mark := mark + 1)
            meter = Meter(stage)
            _reach(stage, mark := mark + 1)
            what = f"{kind} a file" if kind != "list" else "list a page"
            yield Growth(what, size, "files", *meter.each(ROUNDS), directly[kind, size])
    stage.close()


def _reach(stage: Stage, mark: int) -> None:
    if not stage.run_until(lambda: stage.words("report", 1)[0] >= mark, LONGEST_US, SLICE_US):
        raise RuntimeError("the client does not get on")


def alone() -> dict[tuple[str, int], float]:
    """The same by littlefs in this process, on memory; microseconds each."""
    fs = LittleFS(block_size=4096, block_count=256, read_size=512, prog_size=512, cache_size=4096)
    found, there = {}, 0
    for size in SIZES:
        for number in range(there, size):
            fs.open(f"file {number}", "wb").close()
        there = size
        steps: dict[str, Callable[[int], object]] = {
            "open": lambda number, size=size: fs.open(f"file {number * size // ROUNDS}", "rb").close(),
            "create": lambda number: fs.open(f"new {number}", "wb").close(),
            "list": lambda number: fs.listdir("/"),
        }
        for kind, step in steps.items():
            start = process_time()
            for number in range(ROUNDS):
                step(number)
            found[kind, size] = (process_time() - start) * 1e6 / ROUNDS
        for number in range(ROUNDS):
            fs.remove(f"new {number}")
    return found


def clients() -> Iterator[Growth]:
    """Reads of 512 bytes through one file server, by the number of clients who read all the time."""
    for number in CLIENTS:
        with TemporaryDirectory() as folder:
            stage = Stage("storage", variant=str(_crowd(Path(folder), number)))
            reports = [f"report_{client}" for client in range(number)]

            def reads(stage: Stage = stage, reports: list[str] = reports) -> list[int]:
                return [stage.words(report, 1)[0] for report in reports]

            stage.run_until(lambda: min(reads()) > 10, LONGEST_US, SLICE_US)
            meter, before = Meter(stage), sum(reads())
            enough = before + READS
            stage.run_until(lambda enough=enough: sum(reads()) >= enough, LONGEST_US, SLICE_US)
            yield Growth("read 512 bytes", number, "clients", *meter.each(sum(reads()) - before))
            stage.close()


def _crowd(folder: Path, number: int) -> Path:
    """A variant of the storage system with so many clients, in a directory."""
    path = find_system("storage")
    text = path.read_text()
    domains = "".join(
        f'    <memory_region name="report_{client}" size="0x1000" />\n'
        f'    <protection_domain name="client_{client}" priority="100"><program_image path="crowd.elf" />\n'
        f'        <map mr="report_{client}" vaddr="0x5100000" perms="rw" setvar_vaddr="report" /></protection_domain>\n'
        f'    <channel><end pd="files" id="{2 + client}" notify="false" />'
        f'<end pd="client_{client}" id="0" pp="true" notify="false" /></channel>\n'
        f'    <?capkernel grant pd="client_{client}" kind="cnode" of="client_{client}" slot="301"?>\n'
        for client in range(number)
    )
    kept = [line for line in CLIENT.sub("", text).splitlines(keepends=True) if 'pd="client"' not in line]
    where = kept.index("</system>\n")
    (folder / path.name).write_text("".join(kept[:where]) + domains + "</system>\n")
    for file in (*path.parent.glob("storage*.toml"), PROGRAMS / "crowd.py"):
        copy(file, folder)
    return folder


def connections() -> Iterator[Growth]:
    """A page of 64 bytes over one connection, and echoes over another, by the number of those that are open."""
    system = System()
    stage, stack = system.stage, system.outside.stack
    system.run(lambda: stage.words("published", 1)[0] and stage.words("report", 1)[0])
    opened = []
    for number in CONNECTIONS:
        while len(opened) < number:
            connection = stack.connect(MACHINE, WEB)
            system.run(lambda connection=connection: connection.connected)
            opened.append(connection)
        meter = Meter(stage)
        system.rounds(ECHOES)
        yield Growth("echo 64 bytes by TCP", number, "open connections", *meter.each(ECHOES))
    stage.close()


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] not in ([], ["--json"]):
        sys.exit("usage: python -m bench.growth [--json]")
    found = [*files(), *clients(), *(connections() if AVAILABLE else ())]
    if sys.argv[1:]:
        print(json.dumps([asdict(each) for each in found]))
        return
    table = Table()
    for heading in ("what", "number", "of", "kernel entries", "virtual µs", "host µs", "library alone µs", "× first"):
        table.add_column(heading, justify="left" if heading in ("what", "of") else "right")
    firsts: dict[str, float] = {}
    for each in sorted(found, key=lambda each: [one.what for one in found].index(each.what)):
        first = firsts.setdefault(each.what, each.host_us)
        table.add_row(
            each.what, str(each.number), each.of, f"{each.kernel_entries:.1f}", f"{each.virtual_us:.1f}",
            f"{each.host_us:.0f}", "" if each.alone_us is None else f"{each.alone_us:.0f}",
            f"{each.host_us / first:.1f}",
        )  # fmt: skip
    console = Console(highlight=False)
    console.width = max(console.width, 130)
    console.print(table)
    if not AVAILABLE:
        print(f"Connections are not measured: {WHY_NOT}")


if __name__ == "__main__":
    main()
