"""An attacker who holds nothing but a name space to read, which an honest client showed him.

He has no name space of his own: he waits to be given that one, as a program waits for what it may use.
"""

from typing import Any, Final

from capkernel.protocols.attacks import Trick
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.names import Endowed, NameSpace
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.attackers.attack import FIRST_TARGET, OWN_CNODE, Attack, Target

report: int = 0
region: int = 0
region_size: int = 0x1_0000

BEGIN: Final = 0
"""The channel of who lets it begin."""
TARGET: Final = Target(NameSpace, {}, ("fork", "restrict"))
"""What is made through the cap counts towards the quota of whoever showed it, and that is his own affair."""


class Taking(Endowed):
    """Takes what it is given."""

    def __init__(self, attack: Attack) -> None:
        self.attack = attack

    async def endow(self, space: NameSpace) -> str:
        """Keep it where attackers have what they attack."""
        given: Any = space
        slots = self.attack.inbox.slots
        await stubs.cnode_move(
            self.attack.pd.sys, OWN_CNODE, dest_index=FIRST_TARGET, dest_depth=slots.depth, src_root=OWN_CNODE,
            src_index=given.cap, src_depth=slots.depth,
        )  # fmt: skip
        slots.free(given.cap)
        return "thank you"


class Program:
    """The attacker."""

    def __init__(self) -> None:
        self.attack: Any = None
        self.service: Any = None
        self.has_begun = False

    async def init(self, pd: PD) -> None:
        """Wait to be given something."""
        attack = self.attack = Attack(pd, report, region, region_size)

        def root(session: int) -> Interface:
            return Taking(attack)

        self.service = Service(pd, roots=root, inbox=attack.inbox)
        await self.service.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """Somebody gives."""
        return await self.service.protected(msg)

    async def notified(self, pd: PD, ch: int) -> None:
        """Attack, once."""
        if ch != BEGIN or self.has_begun:
            return
        self.has_begun = True
        await self.attack.forgery(FIRST_TARGET)
        await _changes(self.attack)
        await self.attack.bad_input(TARGET, FIRST_TARGET)
        await self.attack.caps(TARGET, FIRST_TARGET)
        await self.attack.replies(TARGET, FIRST_TARGET)
        await self.attack.ledger.close()


async def _changes(attack: Attack) -> None:
    """Change names, directly and by all that can be made of the cap; see names that are not shown."""
    shown = attack.stub(NameSpace)
    name, *others = [each.name for each in await shown.names(0)]
    await attack.ledger.count(Trick.RIGHTS, f"{others} can be seen as well", is_refused=not others)
    part: Any = await shown.restrict([name], False)
    copy: Any = await shown.derive()
    for what, space in (("what was shown", shown), ("a part of it", part), ("another cap to it", copy)):
        for how, attempt in (
            ("a name was added", space.bind("mine", Cap(OWN_CNODE))), ("a name was taken", space.unbind(name)),
            ("a name was given anew", space.bind(name, Cap(OWN_CNODE))),
            ("a space was attached", space.attach("in", part)), ("it was made writable", space.restrict([name], True)),
            ("nothing was made writable", space.restrict([], True)),
            ("other names were shown", space.restrict(["other"], False)), ("another was found", space.lookup("other")),
            ("another was entered", space.enter("other")), ("another was copied", space.fork(["other"])),
        ):  # fmt: skip
            await attack.refused(Trick.RIGHTS, f"{what}: {how}", attempt)
    for space in (part, copy):
        await space.drop()
    cap = await shown.lookup(name)
    await attack.inbox.discard(cap)
    await attack.ledger.allowed(Trick.RIGHTS)
