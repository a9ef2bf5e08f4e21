"""What it costs to be a file server in user space: beside the same code in one domain, and beside littlefs alone.

``python -m bench.storage [--json]``. Virtual time, kernel entries and bytes are exact (bytes are those that programs
copied many at a time; what devices moved is the same in both); host time is CPU time, of one run.
"""

import json
import sys
from time import process_time

from attrs import asdict, frozen
from littlefs import LittleFS
from rich.console import Console
from rich.table import Table

from capkernel.tools.demo.stage import Stage
from servers.clients.measured import BLOCK, KINDS, ROUNDS

LONGEST_US, SLICE_US = 1_000_000, 20
SHORTEST = 5
"""Microseconds: what seems to take less was not seen."""
NAMES = {"read": "4 KiB read", "write": "4 KiB sequential write", "create": "file create"}
BUILDS = {
    "isolated": ("storage", {"client": "measured.elf"}),
    "one domain": ("monolith", {"monolith": "monolith_measured.elf"}),
}


@frozen
class Cost:
    """Of one round."""

    kernel_entries: float
    copied: float
    virtual_us: float
    host_us: float

    @property
    def is_seen(self) -> bool:
        """Whether the host's time was seen: what takes no virtual time begins and ends between two looks."""
        return self.virtual_us > 0 or self.host_us > SHORTEST


def measured(system: str, programs: dict[str, str]) -> dict[str, Cost]:
    """Each kind of round in a system."""
    stage = Stage(system, programs=programs, variant="unasked" if system == "storage" else "")
    costs = {}
    for index, kind in enumerate(KINDS):
        _reach(stage, index + 1, 1)
        before = _now(stage)
        _reach(stage, index + 1, 2)
        entries, copied, ticks, host = (now - then for now, then in zip(_now(stage), before, strict=True))
        costs[kind] = Cost(entries / ROUNDS, copied / ROUNDS, ticks / 10 / ROUNDS, host * 1e6 / ROUNDS)
    stage.close()
    return costs


def _now(stage: Stage) -> tuple[int, int, int, float]:
    return stage.system.loop.entries, stage.system.cpu.copied, stage.system.machine.now(), process_time()


def _reach(stage: Stage, place: int, mark: int) -> None:
    """Run until the client has put a mark into a word of its report."""
    stage.run_until(lambda: stage.words("report", 4)[place] >= mark, LONGEST_US, SLICE_US)


def alone() -> dict[str, Cost]:
    """The same by littlefs in this process, on memory."""
    fs = LittleFS(block_size=4096, block_count=256, read_size=512, prog_size=512, cache_size=4096)
    costs = {}
    for kind in KINDS:
        with fs.open(f"for {kind}", "wb") as file:
            file.write(bytes(BLOCK * ROUNDS))
        start = process_time()
        if kind == "create":
            for number in range(ROUNDS):
                fs.open(f"file {number}", "wb").close()
        else:
            with fs.open(f"for {kind}", "rb" if kind == "read" else "r+b") as file:
                for number in range(ROUNDS):
                    file.read(BLOCK) if kind == "read" else file.write(bytes((number,)) * BLOCK)
        costs[kind] = Cost(0, 0, 0, (process_time() - start) * 1e6 / ROUNDS)
    return costs


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] not in ([], ["--json"]):
        sys.exit("usage: python -m bench.storage [--json]")
    found = {name: measured(*build) for name, build in BUILDS.items()} | {"littlefs alone": alone()}
    if sys.argv[1:]:
        print(json.dumps({name: {kind: asdict(cost) for kind, cost in costs.items()} for name, costs in found.items()}))
        return
    table = Table()
    for heading in ("what", "build", "kernel entries", "bytes copied", "virtual µs", "host µs", "host, × alone"):
        table.add_column(heading, justify="left" if heading in ("what", "build") else "right")
    for kind in KINDS:
        for name, costs in found.items():
            cost, floor = costs[kind], found["littlefs alone"][kind].host_us
            table.add_row(
                NAMES[kind], name, f"{cost.kernel_entries:.1f}", f"{cost.copied:.0f}", f"{cost.virtual_us:.1f}",
                *((f"{cost.host_us:.0f}", f"{cost.host_us / floor:.0f}") if cost.is_seen else ("–", "–")),
            )  # fmt: skip
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
