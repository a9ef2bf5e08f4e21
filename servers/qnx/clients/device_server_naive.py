"""The server in front of a slow device, on a naive shim: its receive IDs look like QNX's.

A receive ID in QNX is a number for the client's thread and connection, the same for each of its requests. Whoever takes
the number in an unblock pulse for a request, without looking whether that request is still the one, answers another.
"""

from servers.qnx.channel import Channel, Request
from servers.qnx.clients import device_server


class StableIds(Channel):
    """A channel whose unblock pulses mean a connection: whatever request it has sent last."""

    def unwanted(self, connection: int, number: int) -> Request | None:
        """The request of that connection that is held now."""
        return next((request for request in self.held() if request.connection == connection), None)


class Program(device_server.Program):
    """The server."""

    Kind = StableIds
