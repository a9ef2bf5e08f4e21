"""Visiting every reachable state of a configuration once, breadth first: what is found is found the short way."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from specs.check import checked, to_script
from specs.explore.model import Configuration
from specs.explore.properties import Step, problems_of_state
from specs.explore.states import StateKey
from specs.explore.system import Choice, System
from specs.programs import Execution

LOOK = 2_000
"""After so many states ``progress`` is called."""
PROGRAMS = 20
"""With ``everything``, the ways to so many of the last states are run as programs, under the invariants of steps."""


@dataclass
class Violation:
    """What is wrong, and the way there: each step in words, and the whole as a program."""

    problem: str
    path: list[str]
    run: Execution
    """The way as a program, run under all invariants as any program is: with every instruction taking its time."""

    def script(self) -> str:
        """The program as a script, with the way there before it."""
        head = [self.problem, *(f"  {number}. {step}" for number, step in enumerate(self.path, 1))]
        head.append(f"As a program: {self.run.problem or 'no invariant is violated; look at where it ends.'}")
        return to_script(self.run.program, replace(self.run, problem="\n".join(head)))


@dataclass
class Exploration:
    """What came of exploring a configuration. ``depth`` is the length of the longest shortest way to a state.

    ``programs`` is how many ways were run as programs.
    """

    name: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    exhausted: bool = False
    programs: int = 0
    quiet: int = 0
    """States in which nothing can happen any more."""
    violations: list[Violation] = field(default_factory=list)


Visit = Callable[[System], None]


def explore(
    configuration: Configuration, *, max_states: int | None = None, check: bool = True, everything: bool = False,
    visit: Visit | None = None, progress: Callable[[Exploration], None] | None = None, most_violations: int = 1,
) -> Exploration:  # fmt: skip
    """Visit every state once, or ``max_states`` of them.

    ``check`` evaluates the properties, ``everything`` all invariants of states on the whole kernel. ``visit`` is called
    in each new state. Ends early when ``most_violations`` are found.
    """
    return _Search(configuration, check, everything, visit).run(max_states, progress, most_violations)


class _Search:
    def __init__(self, configuration: Configuration, check: bool, everything: bool, visit: Visit | None) -> None:
        self.system = System(configuration)
        self.check, self.everything, self.visit = check, everything, visit
        self.result = Exploration(configuration.name)
        self.parents: dict[StateKey, tuple[StateKey, Choice] | None] = {}
        self.depths: dict[StateKey, int] = {}

    def run(
        self, max_states: int | None, progress: Callable[[Exploration], None] | None, most_violations: int
    ) -> Exploration:
        result, system, parents = self.result, self.system, self.parents
        started = time.perf_counter()
        order: list[StateKey] = []
        self._meet(system.initial, None, order)
        for key in order:
            if len(result.violations) >= most_violations:
                break
            if max_states is not None and len(order) > max_states:
                break
            self._leave(key, order)
            if progress is not None and len(parents) % LOOK == 0:
                progress(result)
        else:
            if self.everything:
                self._run_as_programs(order[-PROGRAMS:])
            result.exhausted = not result.violations
        result.states, result.seconds = len(parents), time.perf_counter() - started
        return result

    def _leave(self, key: StateKey, order: list[StateKey]) -> None:
        """Take every step that can be taken in a state."""
        system, states, result = self.system, self.system.states, self.result
        states.restore(key)
        choices = system.choices()
        if not choices:
            result.quiet += 1
            if self.system.configuration.live:
                self._violated("P7 somebody_can_go_on: nothing can happen any more", key, None)
        for choice in choices:
            states.restore(key)
            result.transitions += 1
            step = Step(system, system.action_of(choice)) if self.check else None
            try:
                system.take(choice)
            except Exception as error:  # Whatever comes out of the kernel is a finding, not ours to judge.
                self._violated(f"T15 total: {type(error).__name__}: {error}", key, choice)
                states.forget()
                continue
            after = states.key()
            found = step.problems() if step is not None else []
            if found:
                self._violated("\n".join(found), key, choice)
            elif after not in self.parents:
                self._meet(after, (key, choice), order)

    def _meet(self, key: StateKey, parent: tuple[StateKey, Choice] | None, order: list[StateKey]) -> None:
        """A new state; it is the present one."""
        self.parents[key] = parent
        depth = self.depths[key] = 0 if parent is None else self.depths[parent[0]] + 1
        self.result.depth = max(self.result.depth, depth)
        found = problems_of_state(self.system, everything=self.everything) if self.check else []
        if found and parent is not None:
            self._violated("\n".join(found), *parent)
            return
        if found:
            raise ValueError(f"{self.result.name}: the first state is wrong: {found}")
        order.append(key)
        if self.visit is not None:
            self.visit(self.system)

    def _run_as_programs(self, keys: list[StateKey]) -> None:
        """The ways to these states, under all invariants of states and of steps."""
        for key in keys:
            run = checked(self.system.program(self._way_to(key)))
            self.result.programs += 1
            if run.problem is not None:
                self._violated(run.problem, key, None)

    def _way_to(self, key: StateKey) -> list[tuple[StateKey, Choice]]:
        """The shortest way to a state: each state on it, and what was chosen there."""
        path: list[tuple[StateKey, Choice]] = []
        before = self.parents[key]
        while before is not None:
            path.append(before)
            before = self.parents[before[0]]
        path.reverse()
        return path

    def _violated(self, problem: str, key: StateKey, choice: Choice | None) -> None:
        path = self._way_to(key) + ([] if choice is None else [(key, choice)])
        self.system.states.forget()
        words = []
        for at, taken in path:
            self.system.states.restore(at)
            words.append(self.system.describe(taken))
        self.result.violations.append(Violation(problem, words, checked(self.system.program(path))))
        self.system.states.restore(key)
