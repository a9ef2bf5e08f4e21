"""The file server of nodes without its checks: owners and modes do not count. What they are for is seen beside it."""

from servers.hurd import node_server_disk


class Program(node_server_disk.Program):
    """The server."""

    checks = False
