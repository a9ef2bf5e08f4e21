"""Who is at the other end of a simulated machine's network cable, in the machine's time."""

from importlib.metadata import entry_points
from typing import Any, Final

from hwmodel.board import DeviceWindow
from hwmodel.virtio import virtio_net
from hwmodel.wiring import DeviceFactory, Wiring

PEERS: Final = "capkernel.peers"
"""The entry point group: who can be there, by name."""
TICKS_PER_MS: Final = 10_000


def peer(name: str) -> Any:
    """A new one. Raises StopIteration if none of that name is installed."""
    return next(iter(entry_points(group=PEERS, name=name))).load()()


def card(host: Any) -> DeviceFactory:
    """A network card whose cable leads to a host."""

    def build(window: DeviceWindow, wiring: Wiring) -> Any:
        host.clock = lambda: wiring.events.clock.now // TICKS_PER_MS
        return virtio_net(host)(window, wiring)

    return build
