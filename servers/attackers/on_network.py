"""What is tried on the network server, beyond what can be tried on any server."""

from typing import Any, Final

from capkernel.protocols.attacks import Trick
from capkernel.protocols.interface import Cap
from capkernel.protocols.network import Dialer, Listener, Network, Stream
from servers.attackers.attack import OWN_CNODE, OWN_ENDPOINT, Attack

CONNECTIONS: Final = 60
"""More than a client may have."""


async def network(attack: Attack) -> None:
    """Other addresses and ports than those of its caps, more connections than it may have, and odd things to signal."""
    dialer, listener, all_of_it = attack.stub(Dialer), attack.stub(Listener, 1), attack.stub(Network)
    for what, attempt in (
        ("another address", all_of_it.dialer("10.0.2.9", 1)), ("another port", all_of_it.listener(443)),
        ("datagrams", all_of_it.datagrams(0, "10.0.2.2", 53)), ("names", all_of_it.resolver()),
        ("pings", all_of_it.pinger("10.0.2.2")),
    ):  # fmt: skip
        await attack.refused(Trick.RIGHTS, what, attempt)
    for patience in (-1, 1 << 40):
        await attack.refused(Trick.INPUT, f"a patience of {patience} ms", dialer.connect(patience))
        await attack.refused(Trick.INPUT, f"a patience of {patience} ms", listener.accept(patience))
    opened: list[Any] = []

    async def one_more() -> None:
        opened.append(await dialer.connect(30_000))

    await attack.more_than_its_quota("connections", CONNECTIONS, one_more)
    stream: Stream = opened[0]
    for cap in (OWN_CNODE, OWN_ENDPOINT):
        # Whatever it is, who signals it must not have to wait.
        await stream.watch(Cap(cap))
    for each in opened:
        await each.drop()
