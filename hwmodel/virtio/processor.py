"""The steps of a virtio device: fetch a request, move its data piece by piece, complete it, all in virtual time.

    notification            5 ticks before the first step
    fetch a chain           1 step
    what the function does  1 step for each piece (a function says what a piece is)
    complete                1 step: used ring, index, interrupt

Each step happens at once, and keeps the device busy for 2 ticks and one more for each 256 bytes begun that it moved.
A device works on one request at a time; its queues take turns. A queue found empty is not looked at again until the
driver notifies.
"""

from collections.abc import Callable
from typing import Protocol

from hwmodel.dma import DmaPort
from hwmodel.events import EventQueue
from hwmodel.faults import PARAMETER_SEEDED, Fault, FaultInjector, FaultKind
from hwmodel.iommu import DmaFault
from hwmodel.seeded import draw, seeded_bytes
from hwmodel.stateful import Saveable, Stateful
from hwmodel.virtio.function import LEFT_IN_QUEUE, VirtioFunction
from hwmodel.virtio.queue import Chain, MalformedRing, Request, Virtqueue
from hwmodel.virtio.registers import RING_EVENT_IDX, RING_INDIRECT_DESC

NOTIFY_TICKS = 5
STEP_TICKS = 2
BYTES_PER_TICK = 256
STORM_TICKS = 20

STEP, STORM = 0, 1
"""Codes of events."""


class Host(Protocol):
    """What the processor needs of the transport around it."""

    def completed(self) -> None:
        """Tell the driver that a request is in the used ring."""
        ...

    def needs_reset(self) -> None:
        """Stop, and tell the driver that the device cannot go on."""
        ...

    def forget(self) -> None:
        """Stop, as after a reset that nobody asked for."""
        ...

    def lose_power(self) -> None:
        """Stop, and answer nobody until the power is back."""
        ...


class Processor(Stateful):
    """The device's inside. `features` are the negotiated ones; it works while `running`."""

    __slots__ = (
        "_chain", "_events", "_host", "_name", "_scheduled", "_storm", "_turn", "_written",
        "faults", "features", "function", "port", "queues", "running",
    )  # fmt: skip
    STATE = ("_chain", "_scheduled", "_storm", "_turn", "_written", "features", "running")

    def __init__(
        self, name: str, events: EventQueue, port: DmaPort, function: VirtioFunction, faults: FaultInjector, host: Host
    ) -> None:
        self._name = name
        self._events = events
        self.port = port
        self.function = function
        self.faults = faults
        self._host = host
        self.queues = tuple(Virtqueue() for _ in range(function.QUEUES))
        self._chain: Chain | None = None
        self._written: int | None = None
        self._scheduled = self.running = False
        self._storm = self._turn = self.features = 0
        events.connect(name, self._happen)

    def parts(self) -> tuple[Saveable, ...]:
        """Return all that is inside."""
        return (self.port, self.faults, *self.queues, self.function)

    # What the transport asks for

    def start(self, features: int) -> None:
        """Begin to work on requests."""
        self.features = features
        self.running = True
        self.kick()

    def kick(self) -> None:
        """Look into the queues soon."""
        if self.running and not self._scheduled:
            self._schedule(NOTIFY_TICKS)

    def stop(self) -> None:
        """Do nothing more; the request in work is abandoned and never completed."""
        self.running = self._scheduled = False
        self._events.cancel(self._name, STEP)
        self._abandon()

    def reset(self) -> None:
        """Stop and forget the queues."""
        self.stop()
        self._storm = self._turn = self.features = 0
        self._events.cancel(self._name, STORM)
        for queue in self.queues:
            queue.reset()

    def stop_queue(self, number: int) -> None:
        """Take nothing more from one queue, and forget the request in work if it is from there."""
        if self._chain is not None and self._chain.queue == number:
            self._abandon()
        self.queues[number].ready = False

    def reset_queue(self, number: int) -> None:
        """Stop one queue and forget what was set up (section 2.6.1)."""
        self.stop_queue(number)
        self.queues[number].reset()

    def _abandon(self) -> None:
        self._chain = self._written = None
        self.function.abandon()

    def _schedule(self, delay: int) -> None:
        self._scheduled = True
        self._events.schedule(self._events.clock.now + delay, self._name, STEP)

    # Steps

    def _happen(self, code: int) -> None:
        if code == STORM:
            self._storm_once()
            return
        self._scheduled = False
        if self.faults.next_step() and not self._let_faults_happen():
            return
        try:
            moved = self._work()
        except (MalformedRing, DmaFault):
            self._host.needs_reset()
            return
        if moved is not None:
            self._schedule(STEP_TICKS + -(-moved // BYTES_PER_TICK))

    def _work(self) -> int | None:
        """Do one step; return the bytes it moved, or None if there is nothing more to do."""
        if self._chain is None:
            return self._fetch()
        if self._written is None:
            request = Request(self.port, self._chain)
            self._written = self.function.step(request, self.faults)
            if self._written == LEFT_IN_QUEUE:
                self.queues[self._chain.queue].put_back()
                self._chain = self._written = None
            return request.moved
        self._complete(self._chain, self._written)
        return 0

    def _fetch(self) -> int | None:
        count = len(self.queues)
        for number in [(self._turn + i) % count for i in range(count)]:
            queue = self.queues[number]
            if not (queue.ready and queue.notified and self.function.ready_for(number)):
                continue
            if self._look(queue):
                self._turn = (number + 1) % count
                self._chain = queue.take(self.port, number, indirect=bool(self.features & RING_INDIRECT_DESC))
                return 0
            queue.notified = False
        return None

    def _look(self, queue: Virtqueue) -> bool:
        """Say whether a queue has a request; if not, ask the driver to notify of the next one."""
        if queue.has_available(self.port):
            return True
        if self.features & RING_EVENT_IDX:
            queue.ask_for_notification(self.port)
        return False

    def _complete(self, chain: Chain, written: int) -> None:
        queue = self.queues[chain.queue]
        faults, given = self.faults, 1
        head = self._wrong(FaultKind.WRONG_ID, chain.head, chain.head + 1)
        written = self._wrong(FaultKind.WRONG_LENGTH, written, 0)
        if faults.strikes(FaultKind.DOUBLE_COMPLETION):
            queue.put_used(self.port, head, written)
            given = 2
        queue.put_used(self.port, head, written)
        self._chain = self._written = None
        wanted = queue.wants_interrupt(self.port, given, event_idx=bool(self.features & RING_EVENT_IDX))
        if wanted and not faults.strikes(FaultKind.LOST_INTERRUPT):
            self._host.completed()

    def _wrong(self, kind: FaultKind, right: int, base: int) -> int:
        """Return the number for the used ring: the right one, or at a fault its parameter and `base`."""
        fault = self.faults.due(kind)
        if fault is None or base + fault.parameter == right:
            return right
        self.faults.activate(fault)
        return base + fault.parameter

    # Faults of any device

    def _let_faults_happen(self) -> bool:
        """Let those faults happen that need no request; say whether the step is still to be done."""
        faults = self.faults
        self.function.before_step(faults)
        if fault := faults.strikes(FaultKind.ROGUE_DMA):
            self._reach_out(fault)
        if fault := faults.strikes(FaultKind.INTERRUPT_STORM):
            self._storm = max(fault.parameter, 1)
            self._storm_once()
        for kind, effect in self._endings().items():
            if fault := faults.strikes(kind):
                effect(fault)
                return False
        return True

    def _endings(self) -> dict[FaultKind, Callable[[Fault], None]]:
        return {FaultKind.POWER_CUT: self._cut, FaultKind.RESET: self._break, FaultKind.STALL: self._stall}

    def _cut(self, fault: Fault) -> None:
        self.function.power_cut(fault.parameter, (self.faults.plan.seed, fault.step))
        self._host.lose_power()

    def _break(self, fault: Fault) -> None:
        if fault.parameter:
            self._host.forget()
        else:
            self._host.needs_reset()

    def _stall(self, _fault: Fault) -> None:
        self.running = False

    def _reach_out(self, fault: Fault) -> None:
        seed, iova = self.faults.plan.seed, fault.parameter
        if iova == PARAMETER_SEEDED:
            iova = draw(1 << 39, seed, fault.step, "address") & ~7
        for attempt in (
            lambda: self.port.read(iova, 8),
            lambda: self.port.write(iova, seeded_bytes(8, seed, fault.step, "data")),
        ):
            try:
                attempt()
            except DmaFault:
                self.faults.rogue_refused += 1
            else:
                self.faults.rogue_through += 1

    def _storm_once(self) -> None:
        self._host.completed()
        self._storm -= 1
        if self._storm > 0:
            self._events.schedule(self._events.clock.now + STORM_TICKS, self._name, STORM)
