"""A resource manager of files in memory; which, and where, says a table of TOML.

path = "/fs"            # where it attaches
place = "before"        # "before" or "after" those at the same path
[files]
readme = "hello"        # without [files] it is one file: content = "…"
"""

import tomllib

from capkernel.protocols.qnx_paths import Place, Resource
from capkernel.user.loop import PD
from servers.qnx import resource_manager
from servers.qnx.resource_manager import Attach, ByteResource, Directory


class Program(resource_manager.ResourceManager):
    """The resource manager."""

    files: int = 0
    files_size: int = 0x1000

    async def resources(self, pd: PD) -> list[Attach]:
        """As the table says."""
        table = tomllib.loads((await pd.read(self.files, self.files_size)).rstrip(b"\0").decode())
        below: dict[str, Resource] = {
            name: ByteResource(content.encode()) for name, content in table.get("files", {}).items()
        }
        served: Resource = Directory(below) if below else ByteResource(table.get("content", "").encode())
        return [Attach(table["path"], served, Place(table.get("place", "before")), is_directory=bool(below))]
