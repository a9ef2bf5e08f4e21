"""What it costs to be a file server in user space: beside the same code in one domain, and beside littlefs alone.

``python -m bench.storage [--json]``. Virtual time, kernel entries and bytes are exact (bytes are those that programs
copied many at a time; what devices moved is the same in both); host time is CPU time, of one run. Both builds have the
same disk, the same file system, the same cache of 512 KiB in the file server, the same client.
"""

import json
import sys
from pathlib import Path
from time import process_time

from littlefs import LittleFS

from bench.columns import Work, data, show
from bench.meter import Cost, Meter, run_to
from capkernel.tools.demo.stage import Stage
from hwmodel.block import RamDisk
from servers.clients.measured import BLOCK, KINDS, OTHER_BLOCKS, ROUNDS

LONGEST_US = 10_000_000
DISK_BYTES = 1 << 22
LINKED = str(Path(__file__).parent / "linked")
"""The tables of what is linked, for the benchmarks."""
WORKS = {
    "read": Work("4 KiB read (disk)", BLOCK), "cached": Work("4 KiB read (memory)", BLOCK),
    "write": Work("4 KiB sequential write", BLOCK), "create": Work("file create"),
}  # fmt: skip
BUILDS = {
    "isolated": ("storage", "unasked", {"client": "measured.elf"}),
    "one domain": ("monolith", LINKED, {}),
}


def measured(system: str, variant: str, programs: dict[str, str]) -> dict[str, Cost]:
    """Each kind of round in a system."""
    stage = Stage(system, variant=variant, programs=programs, disk=RamDisk(DISK_BYTES))
    costs = {}
    for index, kind in enumerate(KINDS):
        run_to(stage, 2 * index + 1, LONGEST_US)
        meter = Meter(stage)
        run_to(stage, 2 * index + 2, LONGEST_US)
        costs[kind] = meter.cost(ROUNDS)
    stage.close()
    return costs


def alone() -> dict[str, Cost]:
    """The same by littlefs in this process, on memory: there both kinds of reads are one."""
    fs = LittleFS(block_size=4096, block_count=DISK_BYTES // 4096, read_size=512, prog_size=512, cache_size=4096)
    for name, blocks in (("measured", ROUNDS), ("other", OTHER_BLOCKS)):
        with fs.open(name, "wb") as file:
            file.write(bytes(BLOCK * blocks))
    costs = {}
    for kind in KINDS:
        start = process_time()
        if kind == "create":
            for number in range(ROUNDS):
                fs.open(f"file {number}", "wb").close()
        else:
            with fs.open("measured", "r+b" if kind == "write" else "rb") as file:
                for number in range(ROUNDS):
                    file.write(bytes((number,)) * BLOCK) if kind == "write" else file.read(BLOCK)
        costs[kind] = Cost((process_time() - start) * 1e6 / ROUNDS)
    return costs


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] not in ([], ["--json"]):
        sys.exit("usage: python -m bench.storage [--json]")
    found = {name: measured(*build) for name, build in BUILDS.items()} | {"littlefs alone": alone()}
    if sys.argv[1:]:
        print(json.dumps(data(found)))
    else:
        show(WORKS, found)


if __name__ == "__main__":
    main()
