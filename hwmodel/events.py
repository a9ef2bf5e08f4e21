"""What devices will do, and when: the machine's queue of events in virtual time.

An event is plain data (tick, sequence number, device name, code), so the queue can be saved. Events
of one tick run in the order in which they were scheduled.
"""

import heapq
from collections.abc import Callable

from hwmodel.stateful import Stateful
from hwmodel.timer import KernelTimer

Handler = Callable[[int], None]
"""What a device does at an event; it is given the event's code."""


class EventQueue(Stateful):
    """Events to come, ordered by tick and then by order of scheduling.

    `clock` is the clock that `run_events` moves.
    """

    __slots__ = ("_handlers", "_heap", "_sequence", "clock")
    STATE = ("_heap", "_sequence")

    def __init__(self, clock: KernelTimer) -> None:
        self.clock = clock
        self._heap: list[tuple[int, int, str, int]] = []
        self._sequence = 0
        self._handlers: dict[str, Handler] = {}

    def connect(self, device: str, handler: Handler) -> None:
        """Let `handler` take the events of `device`. Raises ValueError if the name is taken."""
        if device in self._handlers:
            raise ValueError(f"two devices are named {device!r}")
        self._handlers[device] = handler

    def schedule(self, tick: int, device: str, code: int = 0) -> None:
        """Plan an event; a tick in the past means now."""
        if device not in self._handlers:
            raise ValueError(f"no device is named {device!r}")
        event = (max(tick, self.clock.now), self._sequence, device, code)
        self._sequence += 1
        heapq.heappush(self._heap, event)

    def cancel(self, device: str, code: int = 0) -> None:
        """Forget the events of `device` with this code."""
        kept = [event for event in self._heap if event[2:] != (device, code)]
        if len(kept) != len(self._heap):
            heapq.heapify(kept)
            self._heap = kept

    def next_event(self) -> int | None:
        """Return the tick of the first event, or None."""
        return self._heap[0][0] if self._heap else None

    def run_events(self, until: int) -> None:
        """Move the clock to `until`, and run each event due by then at its own tick.

        Events that a handler schedules for a tick up to `until` run too. The clock never goes back.
        """
        clock = self.clock
        while self._heap and self._heap[0][0] <= until:
            tick, _, device, code = heapq.heappop(self._heap)
            clock.now = max(clock.now, tick)
            self._handlers[device](code)
        clock.now = max(clock.now, until)

    def upcoming(self) -> list[tuple[int, int, str, int]]:
        """Return the events in the order in which they will run."""
        return sorted(self._heap)
