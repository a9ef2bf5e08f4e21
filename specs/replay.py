"""The oracle during the replay of programs that were recorded on the real kernel.

What is false there is a wrong statement, not a wrong kernel: the replay itself is known to agree with the records.
"""

from typing import Any

from capkernel.tools.conform.populate import start
from capkernel.tools.conform.steps import Stepper
from capkernel.tools.conform.timeline import LEAVE_TICKS, Timeline
from specs.monitor import Monitor


class _Wrong(Exception):
    """An invariant does not hold; the replay stops here."""


def replay_watched(program: dict[str, Any], monitor: Monitor) -> str | None:
    """Replay one recorded program under a monitor; returns what is wrong, if anything is."""
    try:
        if program["group"] == "time":
            timeline = Timeline(program, LEAVE_TICKS[0])
            _watch(monitor, timeline.world)
            timeline.run()
        else:
            world = start(program)
            _watch(monitor, world)
            stepper = Stepper(world, program["group"])
            for record in program["ops"]:
                stepper.step(record)
    except _Wrong as wrong:
        return str(wrong)
    return None


def _watch(monitor: Monitor, world: Any) -> None:
    monitor.attach(world.loop, world.machine)

    def stop_if_wrong(_trap: object) -> None:
        if monitor.problem is not None:
            raise _Wrong(monitor.problem)

    world.loop.observers.append(stop_if_wrong)
