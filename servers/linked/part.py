"""A part of a domain: a program with its hooks, and what it would be in a domain of its own.

There its thread would do one thing at a time. So here nothing of it begins while it waits for a part that it asked;
while it only waits for something of its own (``Condition``), as a server with a caller that was put off, it goes on.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from capkernel.protocols.failures import Failure
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD, ChannelError
from capkernel.user.pdimage import PDValues
from capkernel.user.tasks import Condition, Tasks
from servers.linked.installed import uses_of
from servers.linked.signals import PartSyscalls
from servers.linked.table import Described, Misconnected, named
from servers.neighbours import ByTable, LinkedPD, Uses

Way = Callable[[], Awaitable[None]]


class PartPD(LinkedPD):
    """The part as its program's hooks see it.

    ``ways`` is what to do to notify its channels. ``makers`` make what takes the place of stubs for its caps. ``uses``
    is what its program declares, if it does.
    """

    def __init__(self, outer: PD, described: Described, sys: PartSyscalls, uses: Uses | None) -> None:
        super().__init__(PDValues(name=f"{outer.name}.{described.name}", debug=outer.values.debug), life=outer.life)
        self.sys = sys
        self.outer = outer
        self.outside = described.outside
        self.uses = uses
        self.ways: dict[int, Way] = {}
        self.makers: dict[int, Callable[[type[Interface]], Any]] = {}

    def in_place(self, interface: type[Interface], cap: int) -> Any:
        """What takes a stub's place."""
        if cap not in self.makers:
            somebody = ", ".join(map(named, self.makers)) or "none"
            raise Misconnected(f"{self.name}: nobody is behind {named(cap)}; somebody is behind {somebody}")
        asks = None if self.uses is None or isinstance(self.uses.asks, ByTable) else self.uses.asks
        if asks is not None and (cap not in asks or asks[cap].interface is not interface):
            what = f"{self.name}: the program asks a {interface.__name__} through {named(cap)}"
            raise Misconnected(f"{what}, which is not what it declares")
        return self.makers[cap](interface)

    def _cap(self, base: int, channels: int, channel: int, what: str) -> int:
        try:
            return super()._cap(base, channels, channel, what)
        except ChannelError as error:
            raise Misconnected(str(error)) from None

    async def notify(self, channel: int) -> None:
        """Signal the other side of a channel, in this domain or outside."""
        if channel not in self.ways:
            raise Misconnected(f"{self.name}: channel {channel} leads nowhere; {[*self.ways]} lead somewhere")
        await self._outside(channel, self.ways[channel])

    async def irq_ack(self, channel: int) -> None:
        """The domain's interrupt was served."""
        if channel not in self.outside:
            raise Misconnected(f"{self.name}: channel {channel} is no interrupt")
        await self._outside(channel, lambda: self.outer.irq_ack(self.outside[channel]))

    async def _outside(self, channel: int, way: Way) -> None:
        try:
            await way()
        except ChannelError as error:
            raise Misconnected(f"{self.name}: channel {channel}: {error}") from None


class Call:
    """A request that a part has begun to serve."""

    def __init__(self) -> None:
        self.over = Condition()
        self.is_over = False
        self.result: Any = None
        self.failure: Failure | None = None

    async def done(self, result: Any, error: BaseException | None) -> None:
        """It was served, or refused. What a server raises by mistake ends the domain."""
        if error is not None and not isinstance(error, Failure):
            raise error
        self.is_over, self.result, self.failure = True, result, error
        self.over.notify()


class Part:
    """A program, what it is doing, and what it is to do."""

    def __init__(self, outer: PD, described: Described, program: Any) -> None:
        self.described = described
        self.program = program
        self.sys = PartSyscalls(outer.sys.buffer, self._signalled, f"{outer.name}.{described.name}")
        self.uses = uses_of(program)
        self.pd = PartPD(outer, described, self.sys, self.uses)
        self.tasks = Tasks()
        self.pd.at_end = outer.at_end
        outer.at_end.append(self.tasks.give_up)
        """Its hooks. Requests to a server are among the tasks of its service."""
        self.signals: deque[int] = deque()
        self.has_begun = self.is_ready = False
        self.busy = 0
        """How many hooks it is in, and requests of its own for which it waits."""
        self.freed = Condition()

    @property
    def is_server(self) -> bool:
        """Whether somebody can ask it."""
        return hasattr(self.program, "service")

    @property
    def _requests(self) -> Tasks:
        service = getattr(self.program, "service", None)
        return self.tasks if service is None else service.tasks

    def signal(self, channel: int) -> None:
        """A channel was signalled; as in a notification's word, twice is once."""
        if channel not in self.signals:
            self.signals.append(channel)

    def _signalled(self, badge: int) -> None:
        for channel in range(badge.bit_length()):
            if badge >> channel & 1:
                self.signal(channel)

    # What it does

    @property
    def has_work(self) -> bool:
        """Whether it can go on."""
        is_signalled = self.signals and self.is_ready and not self.busy
        return bool(self.tasks.ready or self._requests.ready or is_signalled)

    async def begin(self) -> None:
        """Start the program; it is ready when ``init`` is over."""
        self.has_begun = True
        await self._run(self.program.init(self.pd))

    async def go_on(self) -> None:
        """Do what it can."""
        if self.tasks.ready:
            await self.tasks.run_ready()
        elif self._requests.ready:
            await self._attend(self._requests.run_ready)
        else:
            await self._run(self.program.notified(self.pd, self.signals.popleft()))

    async def _run(self, hook: Awaitable[None]) -> None:
        async def done(result: Any, error: BaseException | None) -> None:
            if error is not None:
                raise error
            self.is_ready = True
            self._release()

        self.busy += 1
        await self.tasks.start(hook, done)

    def _release(self) -> None:
        self.busy -= 1
        if not self.busy:
            self.freed.notify()

    async def serve(self, caller: "Part", work: Callable[[], Awaitable[Any]]) -> Any:
        """Have a request served for another part, and wait until it is. Raises the failure with which it ends."""
        call = Call()
        caller.busy += 1
        try:
            while self.busy:
                await self.freed.wait()
            await self._attend(lambda: self._requests.start(work(), call.done))
            while not call.is_over:
                await call.over.wait()
        finally:
            caller._release()
        if call.failure is not None:
            raise call.failure
        return call.result

    async def _attend(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Let requests go on, with what the program does before and after."""
        attend = getattr(self.program, "attend", None)
        await (work() if attend is None else attend(self.pd, work))
