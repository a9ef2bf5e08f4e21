"""The explorer: a step is going to a state, one kernel entry there, and finding out which state that led to.

The floor is the same system's kernel entries one after the other: what is to happen is chosen, no state is looked at.
"""

from functools import partial

from bench.timing import Figure, least
from specs.explore.configurations import CONFIGURATIONS
from specs.explore.search import explore
from specs.explore.system import System

NAMES = ("any-cancel", "any-fault")
STEPS = 8000
RATIO = 2.0


def _begin(system: System) -> None:
    system.states.forget()
    system.states.restore(system.initial)


def _walk(system: System) -> None:
    """So many kernel entries from the first state on, each time another one of all that can happen."""
    _begin(system)
    for number in range(STEPS):
        choices = system.choices()
        if not choices:
            _begin(system)
            choices = system.choices()
        system.take(choices[(number * 5 + number // 7) % len(choices)])


def figures() -> list[Figure]:
    """Of two configurations, without properties; what it takes to set the system up does not count."""
    found = []
    for name in NAMES:
        configuration = CONFIGURATIONS[name]
        transitions = explore(configuration, check=False).transitions
        whole = least(partial(explore, configuration, check=False), transitions)
        setting_up = least(partial(explore, configuration, check=False, max_states=1), transitions)
        floor = least(partial(_walk, System(configuration)), STEPS)
        step = whole - setting_up
        found.append(Figure(f"a step of the explorer, {name}", "step", step, floor, "plain step", RATIO))
    return found
