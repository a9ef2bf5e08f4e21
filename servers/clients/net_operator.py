"""Who may take ports away: looks at each beat whether a number of a port was put into its memory, and withdraws it."""

from typing import Any, ClassVar

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.network import Network
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.neighbours import Asks, Role, Uses

orders: int = 0

NETWORK, METRONOME = 0, 1
PORT, WITHDRAWN, FAILED = 0, 8, 16
"""Offsets: the port to be withdrawn, 0 if none; how many were; how many could not be."""


class Program:
    """The operator."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + NETWORK: Asks(Network)}, signals={METRONOME: Role.METRONOME},
        required=frozenset({METRONOME}), needs=frozenset({"orders"}),
    )  # fmt: skip

    def __init__(self) -> None:
        self.network: Any = None

    async def init(self, pd: PD) -> None:
        """Nothing is to be done yet."""
        self.network = connect(Network, Connection(pd.sys), BASE_ENDPOINT_CAP + NETWORK)

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat."""
        port = await pd.load(orders + PORT)
        if not port:
            return
        await pd.store(orders + PORT, 0)
        try:
            await self.network.withdraw(port)
            counter = WITHDRAWN
        except Failure as failure:
            await pd.print(f"{pd.name}: {type(failure).__name__}: {failure}\n")
            counter = FAILED
        await pd.store(orders + counter, await pd.load(orders + counter) + 1)
