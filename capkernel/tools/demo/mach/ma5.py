"""MA-5: exceptions go from the thread's port to the task's to the host's; whoever answers may change the state."""

from capkernel.tools.demo.mach.tasks import Played, crash, play
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story

TITLE = "exception ports: thread, task, host; a debugger resumes with edited state, or dies, and the next is asked"
DEBUGGEE, DEBUGGER = "debuggee", "debugger"
POINTS = 6
NOWHERE = [0x7000_0000, 0x7001_0000, 0x7002_0000, 0x7003_0000]
FIXED, KEPT, GUARDED = 1111, 2222, 3333
"""What the debugger wrote into the memory to which it led the load; what the task's and the host's handler put into a
register.
"""
REPORTS = {"debuggee_report": 5, "debugger_report": 8, "keeper_report": 7, "guard_report": 6}


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; then the debugger crashes at each of its steps."""
    calm = _play(story.seed)
    denied, done, *seen = calm.words["debuggee_report"]
    asked, mended, level, same, *first = calm.words["debugger_report"]
    story.claim("the thread's port is asked about each exception first", first == NOWHERE and level == 1, asked)
    story.claim("the state in the message is what the thread's control shows", same == 1)
    story.claim("the debugger led a load to memory that it had written", seen[0] == FIXED and mended == 1)
    words = calm.words["keeper_report"]
    story.claim("what it refused came to the task's port", [*words[4:]] == NOWHERE[1:] and words[2] == 2)
    story.claim("which put a value into a register and moved the pc on", seen[1] == KEPT)
    words = calm.words["guard_report"]
    story.claim("what that refused came to the host's port", [*words[4:]] == NOWHERE[2:] and words[2] == 3)
    story.claim("which mended one", seen[2] == GUARDED)
    story.claim("what nobody mends ends the task", calm.is_over and done == 3, f"{done} loads of 4")
    story.claim("a task cannot set the host's port", denied == 1)
    steps = calm.steps[DEBUGGER]
    points = spread(steps, steps if everywhere else POINTS)
    story.tell(f"the debugger makes {steps} steps; now it crashes at {len(points)} of them")
    runs = [_play(story.seed, step) for step in points]
    story.claim("it died in each run", all(run.activated for run in runs), f"{len(runs)} runs")
    story.claim("the thread went on in each, mended by it or by the next", all(map(_goes_on, runs)))
    others = sum(run.words["debuggee_report"][2] == KEPT for run in runs)
    story.claim("by the next where it had died before it answered", others > 0, f"{others} runs")
    story.trace_hash = calm.run.trace_hash


def _play(seed: int, step: int = 0) -> Played:
    faults = [crash(DEBUGGER, step)] if step else []
    return play("mach_exceptions", _is_over, REPORTS, faults=faults, seed=seed, longest_us=100_000)


def _is_over(stage: Stage) -> bool:
    """The debuggee has ended, and not before it had done something."""
    return stage.words("debuggee_report", 2)[1] > 0 and DEBUGGEE not in _living(stage)


def _living(stage: Stage) -> set[str]:
    return {name for name, thread in stage.system.threads.items() if thread is not None}


def _goes_on(run: Played) -> bool:
    _, done, first, *others = run.words["debuggee_report"]
    return run.is_over and done == 3 and first in (FIXED, KEPT) and others == [KEPT, GUARDED]
