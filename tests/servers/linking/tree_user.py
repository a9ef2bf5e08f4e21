"""Uses a tree of two file systems: writes in both, moves, mounts; what is wrong is counted in the report."""

from collections.abc import Awaitable
from typing import ClassVar

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import Busy, Gone, NotFound, NotPermitted
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.mounts import Mounts
from capkernel.user.loop import PD
from servers.neighbours import Asks, Uses, neighbour

region: int = 0
region_size: int = 0
report: int = 0

ROOT = 310
DATA = bytes(range(256)) * 20


class Program:
    """The client."""

    uses: ClassVar[Uses] = Uses(asks={ROOT: Asks(Mounts, to_change=True)})

    async def init(self, pd: PD) -> None:
        """Each line is one thing that may be wrong."""
        root = neighbour(Mounts, pd, Connection(pd.sys), ROOT)
        wrong = [not await self.holds(root, name) for name in ("", "tmp")]
        wrong.append(await root.mounted() != ("bin", "tmp"))
        wrong.append([entry.name for entry in await root.list(0)] != ["bin", "tmp"])
        wrong.append(not await refuses(root.create("tmp"), Busy))
        wrong.append(not await refuses((await root.directory("bin", READ)).create("new"), NotPermitted))
        tmp = await root.directory("tmp", READ_WRITE)
        await root.mount("again", tmp)
        await tmp.drop()
        again = await root.directory("again", READ)
        wrong.append((await (await again.open("moved", READ)).read(0, len(DATA))) != DATA)
        await root.unmount("again")
        wrong.append(not await refuses(again.open("moved", READ), Gone))
        wrong.append(not await refuses(root.directory("again", READ), NotFound))
        await pd.store(report + 8, sum(wrong))
        await pd.store(report, 1)

    async def holds(self, root: Mounts, name: str) -> bool:
        """Whether a file system keeps what is written into it, under another name, too."""
        place = await root.directory(name, READ_WRITE) if name else await root.make_directory("base")
        file = await place.create("first")
        await file.write(0, DATA)
        await file.sync()
        second = await place.adopt(file, READ)
        await file.drop()
        await place.rename("first", place, "moved")
        same = await second.read(0, len(DATA)) == DATA
        await second.drop()
        return same and (await place.info("moved")).size == len(DATA)


async def refuses(asked: Awaitable[object], failure: type[Exception]) -> bool:
    """Whether it is refused so."""
    try:
        await asked
    except failure:
        return True
    return False
