"""Stands in for a server that cannot run on this machine: it lives, and says so to whoever asks for something."""

from typing import Any, Final

from capkernel.protocols.failures import Unsupported
from capkernel.protocols.wire import pack_failure
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

policy: int = 0
packets: int = 0
regions: int = 0
network_region: int = 0
files_region: int = 0
"""What the servers in whose place it is would be told."""

WHY: Final = "the server of this did not start: what it needs is missing on this machine (see the start of the shell)"


class Program:
    """The program."""

    async def init(self, pd: PD) -> None:
        """Nothing is to be prepared."""

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life; others want nothing that could be done."""
        if pd.values.notifications >> ch & 1:
            await pd.notify(ch)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await pack_failure(Unsupported(WHY))
