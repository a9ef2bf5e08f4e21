"""An attacker who shares memory with a server, and with an accomplice: ``mallory_files`` attacks ``files``.

Unlike the other attackers it is alone with its server, so it begins by itself; the accomplice begins when it does.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from capkernel.user.loop import PD
from servers.attackers import on_personalities, on_shared
from servers.attackers.on_shared import SharedAttack

report: int = 0
region: int = 0
region_size: int = 0x1_0000

ACCOMPLICE: Final = 1
"""Its channel."""
PREFIX: Final = "mallory_"
PLANS: Final[Mapping[str, Callable[[SharedAttack], Awaitable[None]]]] = {
    "files": on_shared.directories,
    "fat": on_shared.directories,
    "mirror": on_shared.sectors,
    "ramdisk": on_shared.sectors,
    "disk": on_shared.sectors,
    "network": on_shared.stream,
    "supervisor": on_shared.orders,
    "ports": on_personalities.messages,
    "pulses": on_personalities.pulses,
    "process_manager": on_personalities.timeouts,
}


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Attack."""
        attack = SharedAttack(pd, report, region, region_size)
        await pd.notify(ACCOMPLICE)
        await PLANS[pd.name.removeprefix(PREFIX)](attack)
        await attack.ledger.close()

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody tells it anything."""
