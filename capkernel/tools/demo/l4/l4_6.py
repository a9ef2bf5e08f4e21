"""L4-6: a client calls a server that dies. Its call becomes a cap fault, and a resolver connects it to another one."""

from typing import Final

from attrs import frozen

from capkernel.abi.errors import INVALID_CAPABILITY
from capkernel.kernel.objects import CapFault
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from capkernel.tools.tour_systems import Run
from hwmodel.cpu.trap import Trap

TITLE = "capability fault: a call to a dead server traps to a resolver that rebinds; the client is unmodified"
COUNT: Final = 24
LONGEST_US, STUCK_US = 100_000, 20_000
POINTS: Final = 6


class CapFaults:
    """Counts a domain's cap faults in the send phase, as they come to be."""

    def __init__(self, stage: Stage, pd: str) -> None:
        self.stage = stage
        self.pd = pd
        self.count = 0
        self._last: object = None
        stage.booted.boot()
        stage.system.loop.observers.append(self._look)

    def _look(self, trap: Trap) -> None:
        fault = self.stage.system.threads[self.pd].fault
        self.count += isinstance(fault, CapFault) and not fault.in_receive_phase and fault is not self._last
        self._last = fault


@frozen
class Outcome:
    """Calls of the client's that returned, and rightly; the label of a wrong answer; requests that were carried out."""

    done: int
    right: int
    label: int
    first: int
    second: int
    steps: int
    was_hit: bool
    cap_faults: int
    run: Run

    @property
    def is_well(self) -> bool:
        """Whether the client got what it asked for."""
        return self.done == self.right == COUNT


def story(story: Story, *, everywhere: bool = False) -> None:
    """A run without a fault, then the server dies at steps of its own; with ``everywhere`` at each of them."""
    calm = _play(story.seed)
    story.claim("the first call finds the gate shut, and is connected", calm.is_well and calm.cap_faults == 1)
    story.claim("all others go straight to the server", (calm.first, calm.second) == (COUNT, 0), calm.first)
    points = spread(calm.steps, calm.steps if everywhere else POINTS)
    story.tell(f"the server makes {calm.steps} steps; it dies at {len(points)} of them")
    runs = [_play(story.seed, step) for step in points]
    count = len(runs)
    for step, run in list(zip(points, runs, strict=True))[:POINTS]:
        story.tell(f"dies at step {step}: the first served {run.first}, the second {run.second}")
    well = sum(run.is_well for run in runs)
    story.claim("it died in each run", all(run.was_hit for run in runs), f"{count} runs")
    story.claim("the client got all its answers, as in the run without a fault", well == count, f"{well} of {count}")
    over = sum(run.second > 0 for run in runs)
    story.claim("the other server took over", over == count, f"{over} of {count}")
    # At its first step it waits for the first call, so that the client was never connected to it.
    once = all(run.cap_faults == (1 if step == 1 else 2) for step, run in zip(points, runs, strict=True))
    story.claim("by one cap fault more, if the client was connected before", once)
    twice = [run.first + run.second - COUNT for run in runs]
    story.claim("no request is lost; at most the one that was on its way is made twice", set(twice) <= {0, 1})
    story.claim("nobody else stopped", not any(run.run.faults for run in runs))
    story.figures["runs in which a request was carried out twice"] = f"{sum(twice)} of {count}"
    both = _play(story.seed, points[1], then=True)
    story.claim("when the second dies too, the first is there again", both.is_well and both.cap_faults == 3)
    idle = _play(story.seed, points[1], program="l4_connector_idle.elf")
    story.claim("without the resolver's help the client waits for ever", idle.done < COUNT, f"{idle.done} of {COUNT}")
    empty = _play(story.seed, points[1], program="l4_connector_emptying.elf")
    is_told = empty.done == COUNT > empty.right and empty.label == INVALID_CAPABILITY
    story.claim("an empty slot is no fault: the client is told InvalidCapability, and must cope", is_told, empty.label)
    story.trace_hash = calm.run.trace_hash


def _play(seed: int, step: int = 0, *, program: str = "", then: bool = False) -> Outcome:
    faults = [Fault("first", step, Kind.CRASH, life=1)] if step else []
    if then:
        faults.append(Fault("second", step, Kind.CRASH, life=1))
    stage = Stage("l4_capfault", seed=seed, faults=tuple(faults), programs={"resolver": program} if program else None)
    cap_faults = CapFaults(stage, "client")
    stage.run_until(lambda: stage.words("client_report", 1)[0] == COUNT, STUCK_US if program else LONGEST_US)
    done, right, label = stage.words("client_report", 3)
    first, second = stage.words("first_report", 1)[0], stage.words("second_report", 1)[0]
    run, steps = stage.run(time_us=1), stage.injector.steps["first"]
    was_hit = len(stage.injector.activated) == len(faults)
    stage.close()
    return Outcome(done, right, label, first, second, steps, was_hit, cap_faults.count, run)
