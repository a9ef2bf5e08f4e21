"""The server of /bin: the programs that are installed and may be started as processes, each as a file to be read.

What there is says a table that the runtime puts into a region (``<?capkernel programs region="…"?>``), so /bin needs no
place on any disk, and nobody can change it. A file's content is the line by which a process server knows the program.
"""

from capkernel.protocols.files import READ, Kind
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD
from capkernel.user.process import decode_table
from servers.storage.ram_server import CLIENTS
from servers.storage.ram_server import Program as RamServer
from servers.system.program_file import MAGIC

programs: int = 0
programs_size: int = 0x2000


class Program(RamServer):
    """Files in memory, which nobody may write once they are there."""

    async def _fill(self, pd: PD) -> None:
        """Write the files."""
        volume = self.tree.volume
        for name in decode_table(await pd.read(programs, programs_size)):
            await volume.create(name, Kind.FILE)
            await volume.write(name, 0, MAGIC + name.encode() + b"\n")

    def root(self, session: int) -> Interface | None:
        """The files, to be read."""
        return self.tree.root_directory(READ) if session in CLIENTS else None
