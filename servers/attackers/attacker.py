"""An attacker: a client of one server that does it all the harm that it can, and writes down what came of it.

Its domain's name says which server that is: ``mallory_log`` attacks ``log``. It begins when it is signalled, so that
those who are to notice nothing have begun before. What it holds is what the description gives any client of the server,
with a cap that takes caps along, and its own endpoint and CNode: nobody else's.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from attrs import frozen

from capkernel.protocols.audit import Audit
from capkernel.protocols.block import Block
from capkernel.protocols.clocks import MAX_US, RealTimeClock, Timer
from capkernel.protocols.console import Console
from capkernel.protocols.entropy import MAX_COUNT, Entropy
from capkernel.protocols.files import Directory
from capkernel.protocols.log import Log
from capkernel.protocols.memory import Account
from capkernel.protocols.mounts import Mounts
from capkernel.protocols.names import NameSpace
from capkernel.protocols.network import MAX_PATIENCE, Dialer, Listener
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import Launcher
from capkernel.protocols.supervision import Supervision
from capkernel.protocols.usage import Usage
from capkernel.user.loop import PD
from servers.attackers import on_devices, on_files, on_memory, on_network, on_services
from servers.attackers.attack import FIRST_TARGET, Attack, Target

report: int = 0
region: int = 0
region_size: int = 0x1_0000
"""Memory shared with the server, which an accomplice changes all the time."""

BEGIN: Final = 0
"""The channel of who lets it begin."""
PREFIX: Final = "mallory_"


@frozen
class Plan:
    """What is attacked, and what is tried besides what can be tried on any server."""

    targets: tuple[Target, ...]
    more: Callable[[Attack], Awaitable[None]] = on_services.nothing_more


PLANS: Final = {
    "console": Plan((Target(Console, {"write": ("x" * 800,)}),), on_devices.console),
    "timer": Plan((Target(Timer, {"sleep": (MAX_US,), "sleep_until": (MAX_US,)}),), on_devices.timer),
    "rtc": Plan((Target(RealTimeClock),), on_devices.rtc),
    "entropy": Plan((Target(Entropy, {"read": (MAX_COUNT,)}),), on_devices.entropy),
    "ramdisk": Plan((Target(Block, {}, ("read", "write")),), on_devices.disk),
    "mirror": Plan((Target(Block, {}, ("read", "write")),), on_devices.mirror),
    "log": Plan((Target(Log),), on_services.log),
    "audit": Plan((Target(Audit),), on_services.audit),
    "names": Plan((Target(NameSpace),), on_services.names),
    "supervisor": Plan((Target(Supervision, {"next_event": (1 << 62,)}),), on_services.supervisor),
    "guardian": Plan((), on_services.guardian),
    "usage": Plan((Target(Usage),)),
    "files": Plan((Target(Directory),), on_files.home),
    "fat": Plan((Target(Directory),), on_files.reader),
    "scratch": Plan((Target(Directory),), on_files.reader),
    "bin": Plan((Target(Directory),), on_files.programs),
    "mounts": Plan((Target(Mounts),), on_files.mounts),
    "memory": Plan((Target(Account, {}, ("clear",)),), on_memory.memory),
    "processes": Plan((Target(Launcher),), on_memory.processes),
    "pager": Plan((Target(Pager),), on_memory.pager),
    "network": Plan(
        (Target(Dialer, {"connect": (MAX_PATIENCE,)}), Target(Listener, {"accept": (MAX_PATIENCE,)})),
        on_network.network,
    ),
}  # fmt: skip


class Program:
    """The attacker."""

    def __init__(self) -> None:
        self.has_begun = False

    async def init(self, pd: PD) -> None:
        """Wait."""

    async def notified(self, pd: PD, ch: int) -> None:
        """Attack, once."""
        if ch != BEGIN or self.has_begun:
            return
        self.has_begun = True
        plan = PLANS[pd.name.removeprefix(PREFIX)]
        attack = Attack(pd, report, region, region_size)
        for number in range(len(plan.targets)):
            await attack.forgery(FIRST_TARGET + number)
        await plan.more(attack)
        for number, target in enumerate(plan.targets):
            await attack.everything(target, FIRST_TARGET + number)
        await attack.ledger.close()
