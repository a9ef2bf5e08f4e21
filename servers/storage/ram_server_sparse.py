"""The RAM file server whose files take no room for zeros; it and the other one can take each other's place."""

from servers.storage.ram_server import Program as RamServer
from servers.storage.ram_sparse import SparseVolume


class Program(RamServer):
    """The server."""

    kind = SparseVolume
