"""The port server with one layer switched off: a name that is free is used again, the lowest first, as Mach does it."""

from capkernel.protocols.mach_ports import Kind
from servers.mach import port_server
from servers.mach.port_server import Program as PortServerProgram
from servers.mach.rights import Held, Port, Space


class ReusingSpace(Space):
    """A task's rights, in which a name says nothing about which of its rights is meant."""

    def add(self, kind: Kind, port: Port) -> Held:
        """A right under the lowest name that is free."""
        self.next_name = next(name for name in range(1, len(self.rights) + 2) if name not in self.rights)
        return super().add(kind, port)


class PortServer(port_server.PortServer):
    """The tasks."""

    space = ReusingSpace


class Program(PortServerProgram):
    """The hooks."""

    server = PortServer
