"""The guardian: watches over one other, and over nothing else. It is small, so that it has little to fail by.

It knows only whether its ward lives, and can put another program in its place. What the ward knows is in memory that
outlives it. In a ring of three (``warden``, guardian, supervisor) each watches over the next: so each can be replaced,
even if another one dies in just that moment; whoever starts that one again finds what was left undone.
"""

from typing import ClassVar

from capkernel.user import lifecycle
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.neighbours import Role, Uses
from servers.system.retiring import retire

METRONOME, SUPERVISOR, WATCHER, UPDATE = 0, 1, 2, 3
"""Channels: beats; the ward, which is asked for its life; who asks for ours, and wants another program in our place."""
ORDERS = range(4, 8)
WORKS, FELL_BACK = 8, 9
"""Channels by which somebody has a program put in the ward's place, that of the channel's place in the range; and by
which he is told what came of it. The one who asks may be the ward, which has retired then.
"""
ASK = 10
"""Channel by which a ward is asked to retire first, if it is another who asks."""
LIFECYCLE = 330
PATIENCE = 3
"""Beats that the ward may be silent."""
ORDINARY = 0
"""The program that a ward gets whose program does not live, if nobody knows a better one."""


class Program:
    """The guardian's hooks."""

    uses: ClassVar[Uses] = Uses(
        signals=dict.fromkeys((WATCHER, *ORDERS, WORKS, FELL_BACK, ASK), Role.ANY)
        | {METRONOME: Role.METRONOME, SUPERVISOR: Role.WARD, UPDATE: Role.UPDATE},
        plays=dict.fromkeys((SUPERVISOR, *ORDERS, WORKS, FELL_BACK, ASK), Role.ANY) | {WATCHER: Role.WARD},
        required=frozenset({METRONOME, SUPERVISOR}), holds=frozenset({LIFECYCLE}),
    )

    def __init__(self) -> None:
        self.silent = 0
        self.has_revived = False
        self.former: int | None = None
        """The program that the ward had, while the one in its place has not shown that it works."""
        self.wanted: int | None = None
        """The program that it is to have when it has retired."""
        self.failures = 0
        """How often it was started and gave no sign of life."""

    async def init(self, pd: PD) -> None:
        """Nothing is to be prepared."""

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat, or the ward's sign of life; or another program is wanted in the ward's place or in this one's."""
        if ch == SUPERVISOR:
            await self.lives(pd)
        elif ch == WATCHER:
            await pd.notify(WATCHER)
        elif ch == UPDATE:
            await retire(pd, UPDATE)
        elif ch in ORDERS and pd.values.notifications >> ASK & 1:
            self.wanted = ORDERS.index(ch)
            await pd.notify(ASK)
        elif ch in ORDERS:
            await self.replace(pd, ORDERS.index(ch))
        elif ch == ASK:
            if self.wanted is not None:
                await self.replace(pd, self.wanted)
        elif ch == METRONOME:
            await self.beat(pd)

    async def lives(self, pd: PD) -> None:
        """The ward gave a sign of life."""
        self.silent = self.failures = 0
        if self.former is not None:
            self.former = None
            await self.tell(pd, WORKS)

    async def beat(self, pd: PD) -> None:
        """Time goes on."""
        self.silent += 1
        self.has_revived = False
        if self.silent > PATIENCE:
            await self.revive(pd)
        else:
            await pd.notify(SUPERVISOR)

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """The ward came to grief. If that happens twice within a beat it stays dead until the patience ends."""
        if not self.has_revived or self.former is not None:
            await self.revive(pd)
        return False

    async def replace(self, pd: PD, program: int) -> None:
        """Put a program in the ward's place; if it comes to grief before its first sign of life, the former one."""
        self.wanted = None
        found = await lifecycle.status(pd.sys, LIFECYCLE)
        try:
            await lifecycle.rebuild(pd.sys, LIFECYCLE, program)
        except lifecycle.LifecycleError as error:
            if error.refusal is lifecycle.Refusal.BAD_ARGUMENT:
                await self.tell(pd, FELL_BACK)
                return
        self.former, self.silent = found.program, 0
        await self.start(pd)

    async def revive(self, pd: PD) -> None:
        """Start the ward anew; it goes on from what it has written down. If that fails, again at a later beat."""
        self.silent, self.has_revived = 0, True
        self.failures += 1
        program = self.former
        if program is None and self.failures > 1:
            program = ORDINARY
        try:
            await lifecycle.rebuild(pd.sys, LIFECYCLE, program)
        except lifecycle.LifecycleError:
            self.silent = PATIENCE
            return
        if self.former is not None or self.wanted is not None:
            self.former = self.wanted = None
            await self.tell(pd, FELL_BACK)
        await self.start(pd)

    async def start(self, pd: PD) -> None:
        """Let the ward begin."""
        try:
            await lifecycle.start(pd.sys, LIFECYCLE)
        except lifecycle.LifecycleError:
            self.silent = PATIENCE

    async def tell(self, pd: PD, channel: int) -> None:
        """Say what came of an order, to whoever gives orders here."""
        if pd.values.notifications >> channel & 1:
            await pd.notify(channel)
