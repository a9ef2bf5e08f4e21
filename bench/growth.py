"""How costs grow: with the number of files in a directory, of clients who read at once, of open connections.

``python -m bench.growth [--json]``. Servers in domains of their own beside the same code in one domain, and beside the
library alone. Virtual time and kernel entries are exact; host time is CPU time, of one run. The last column says how
many times the first row of its kind the host's time is: what it would be if nothing grew is 1.
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

from bench.growing.crowd import NAME, SIZE
from bench.growing.growing import KINDS, ROUNDS, SIZES
from bench.network import BUILDS, Bare, System
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.meter import Meter, run_to
from servers.net.lwip import AVAILABLE, WHY_NOT

PROGRAMS = Path(__file__).parent / "growing"
LONGEST_US = 20_000_000
CLIENTS = (1, 2, 4, 8)
READS = 200
CONNECTIONS = (1, 4, 16)
ECHOES = 40
CLIENT = re.compile(r'    <protection_domain name="client".*?</protection_domain>\n', re.DOTALL)
PART = re.compile(r"\[client\].*", re.DOTALL)
ISOLATED, ONE_DOMAIN = BUILDS
"""Their names."""


@frozen
class Growth:
    """One measurement: what, at which number of what else, in which build, for each; and the library by itself, if that
    can be said.
    """

    what: str
    number: int
    of: str
    build: str
    kernel_entries: float
    virtual_us: float
    host_us: float
    alone_us: float | None = None


def files() -> Iterator[Growth]:
    """Opening, making and listing files, by the number of files in the directory."""
    directly = alone()
    for build, system, programs in ((ISOLATED, "storage", {"client": "growing.elf"}), (ONE_DOMAIN, "monolith", {})):
        stage = Stage(system, variant=str(PROGRAMS), programs=programs)
        mark = 0
        for size in SIZES:
            for kind in KINDS:
                run_to(stage, mark := mark + 1, LONGEST_US)
                meter = Meter(stage)
                run_to(stage, mark := mark + 1, LONGEST_US)
                what = f"{kind} a file" if kind != "list" else "list a page"
                yield Growth(what, size, "files", build, *meter.each(ROUNDS), directly[kind, size])
        stage.close()


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
    alone = {number: _read_alone(number) for number in CLIENTS}
    for build, system, crowd in ((ISOLATED, "storage", _crowd), (ONE_DOMAIN, "monolith", _linked_crowd)):
        for number in CLIENTS:
            with TemporaryDirectory() as folder:
                stage = Stage(system, variant=str(crowd(Path(folder), number)))
                _read(stage, READS)
                meter = Meter(stage)
                _read(stage, READS)
                yield Growth("read 512 bytes", number, "clients", build, *meter.each(READS), alone[number])
                stage.close()


def _read(stage: Stage, count: int) -> None:
    """Run until clients have read so many times."""
    for _ in range(count):
        run_to(stage, 1, LONGEST_US)


def _read_alone(number: int) -> float:
    """The same by littlefs in this process, on memory, with the file open so many times; microseconds each."""
    fs = LittleFS(block_size=4096, block_count=256, read_size=512, prog_size=512, cache_size=4096)
    with fs.open(NAME, "wb") as file:
        file.write(bytes(SIZE))
    files = [fs.open(NAME, "rb") for _ in range(number)]
    start = process_time()
    for count in range(READS):
        file = files[count % number]
        file.seek(0)
        file.read(SIZE)
    taken = (process_time() - start) * 1e6 / READS
    for file in files:
        file.close()
    return taken


def _crowd(folder: Path, number: int) -> Path:
    """A variant of the storage system with so many clients, in a directory."""
    path = find_system("storage")
    text = path.read_text()
    domains = "".join(
        f'    <protection_domain name="client_{client}" priority="100"><program_image path="crowd.elf" />'
        "</protection_domain>\n"
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


def _linked_crowd(folder: Path, number: int) -> Path:
    """A variant of the monolith with so many clients, in a directory."""
    path = find_system("monolith").with_name("monolith_parts.toml")
    clients = "".join(
        f'[client{client}]\nprogram = "bench.growing.crowd"\nchannels = {{ 0 = "files {2 + client}" }}\n\n'
        for client in range(number)
    )
    (folder / path.name).write_text(PART.sub("", path.read_text()) + clients)
    return folder


def connections() -> Iterator[Growth]:
    """Echoes of 64 bytes over one connection, by the number of those that are open to the web server."""
    alone = dict(_echoes_alone())
    for build, place in BUILDS.items():
        system = System(*place)
        system.ready()
        opened = 1
        for number in CONNECTIONS:
            while opened < number:
                system.opened()
                opened += 1
            meter = Meter(system.stage)
            system.rounds(ECHOES)
            yield Growth("echo 64 bytes", number, "connections", build, *meter.each(ECHOES), alone[number])
        system.stage.close()


def _echoes_alone() -> Iterator[tuple[int, float]]:
    """The same by two bare stacks; microseconds each, by the number of open connections."""
    bare, opened = Bare(), 1
    for number in CONNECTIONS:
        while opened < number:
            bare.opened()
            opened += 1
        start = process_time()
        bare.rounds(ECHOES)
        yield number, (process_time() - start) * 1e6 / ECHOES


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] not in ([], ["--json"]):
        sys.exit("usage: python -m bench.growth [--json]")
    found = [*files(), *clients(), *(connections() if AVAILABLE else ())]
    if sys.argv[1:]:
        print(json.dumps([asdict(each) for each in found]))
        return
    table = Table()
    headings = "what", "number", "of", "build", "kernel entries", "virtual µs", "host µs", "library alone µs", "× first"
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("what", "of", "build") else "right")
    firsts: dict[tuple[str, str], float] = {}
    for each in sorted(found, key=lambda each: [one.what for one in found].index(each.what)):
        first = firsts.setdefault((each.what, each.build), each.host_us)
        table.add_row(
            each.what, str(each.number), each.of, each.build, f"{each.kernel_entries:.1f}", f"{each.virtual_us:.1f}",
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
