"""A connection: how a client sends to a server's channel (``ConnectAttach``, ``MsgSend``, ``MsgSendPulse``)."""

from attrs import frozen

from capkernel.protocols.qnx_process import Timeouts
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.qnx.errors import Errno, QnxError, errno_of
from servers.qnx.pulses import PulseSender


@frozen
class Reply:
    """What ``MsgSend`` brings back."""

    status: int
    words: tuple[int, ...]


class Connection:
    """A connection through a Microkit channel of this domain.

    ``ring``: memory for its pulses, shared with the server alone. ``timeouts``: whom to ask that a wait ends;
    ``server`` is what the server is called there. ``booster``: a channel to signal before each message, for a client of
    a higher priority than those whom the server may be busy with (``priority``).
    """

    def __init__(
        self, pd: PD, channel: int, *, ring: SharedRegion | None = None, timeouts: Timeouts | None = None,
        server: str = "", booster: int | None = None,
    ) -> None:  # fmt: skip
        self.pd = pd
        self.channel = channel
        self.number = 0
        self.timeouts = timeouts
        self.server = server
        self.booster = booster
        self._pulses = PulseSender(pd, ring, channel) if ring is not None else None

    async def send(
        self, kind: int, words: "tuple[int, ...] | list[int]" = (), *, timeout_us: int | None = None
    ) -> Reply:
        """Send, and wait until the server receives it (SEND-blocked) and answers (REPLY-blocked).

        With a timeout the server is told, by a pulse, after so many microseconds that the reply is not wanted any more.
        Raises QnxError: the number with which the server answers; ESRCH if it died; ETIMEDOUT, EINTR after a timeout.
        """
        if timeout_us is not None and self.timeouts is None:
            raise QnxError(Errno.ENOSYS, "nobody keeps time for this connection")
        # Starting from the clock keeps numbers apart from those of this program's former lives.
        self.number = self.number + 1 if self.number else 1 + await self.pd.clock() % (1 << 30)
        if timeout_us is not None and self.timeouts is not None:
            await self.timeouts.arm(self.server, self.number, timeout_us)
        if self.booster is not None:
            await self.pd.notify(self.booster)
        reply = await self.pd.ppcall(self.channel, Message(kind, (self.number, *words)))
        if timeout_us is not None and self.timeouts is not None:
            await self.timeouts.disarm()
        errno = errno_of(reply.label)
        if errno:
            raise QnxError(errno, f"request {kind} on channel {self.channel}")
        return Reply(reply.label, tuple(reply.words))

    async def pulse(self, priority: int, code: int, value: int = 0) -> None:
        """Send a pulse; never waits. Raises QnxError: EAGAIN, EINVAL, ENOSYS without a ring."""
        if self._pulses is None:
            raise QnxError(Errno.ENOSYS, "no memory is shared for pulses")
        await self._pulses.send(priority, code, value)
