"""What a client may ask the process manager of QNX's personality for: an end of waiting."""

from abc import abstractmethod
from typing import Final

from capkernel.protocols.interface import Interface, operation

MAX_TIMEOUT_US: Final = 3600 * 10**6


class Timeouts(Interface, number=90):
    """Timeouts of one client's requests (``TimerTimeout``). One at a time: the new one takes the place of the old."""

    @operation(1)
    @abstractmethod
    async def arm(self, server: str, request: int, us: int) -> None:
        """After a time, 0 to an hour, tell a server by a pulse that its client has given up on the request of that
        number. NotFound if this client is not connected to a server of that name; Malformed.
        """

    @operation(2)
    @abstractmethod
    async def disarm(self) -> None:
        """Forget it, if it has not happened."""
