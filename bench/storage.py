"""What it costs to be a file server in user space: beside the same code in one domain, and beside littlefs alone.

``python -m bench.storage [--json]``. Virtual time, kernel entries and bytes are exact (bytes are those that programs
copied many at a time; what devices moved is the same in both); host time is CPU time, of one run. Both builds have the
same disk, the same file system, the same cache of 512 KiB in the file server, the same client.
"""

import json
import sys
from time import process_time

from littlefs import LittleFS

from bench.columns import Work, data, show
from capkernel.tools.contrast.builds import BUILDS
from capkernel.tools.contrast.price import DISK_BYTES, file_costs
from capkernel.tools.meter import Cost
from servers.clients.measured import BLOCK, KINDS, OTHER_BLOCKS, ROUNDS

WORKS = {
    "read": Work("4 KiB read (disk)", BLOCK), "cached": Work("4 KiB read (memory)", BLOCK),
    "write": Work("4 KiB sequential write", BLOCK), "create": Work("file create"),
}  # fmt: skip


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
    found = {build.name: file_costs(build) for build in BUILDS} | {"littlefs alone": alone()}
    if sys.argv[1:]:
        print(json.dumps(data(found)))
    else:
        show(WORKS, found)


if __name__ == "__main__":
    main()
