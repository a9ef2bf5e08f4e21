"""The scheduler's model with symbols for all queues, threads and contexts."""

from collections.abc import Iterator
from types import ModuleType

import z3

from specs.proofs.z3 import scheduler as sched
from specs.proofs.z3.logic import Term, and_
from specs.proofs.z3.prove import Stage


class SchedulerTheory:
    """For so many threads and contexts, and three priorities."""

    name = "scheduler"
    model: ModuleType = sched

    def __init__(self, threads: int = 3, contexts: int = 3) -> None:
        self.threads, self.contexts = threads, contexts

    def state(self) -> tuple[sched.State, list[Term]]:
        """All variables with anything in them; periods and budgets are natural numbers."""
        flag, count = z3.Bool, z3.Int

        def queue(name: str) -> tuple[Term, ...]:
            return tuple(count(f"{name}_{n}") for n in range(self.threads))

        threads = tuple(
            sched.Thread(flag(f"runnable{n}"), flag(f"blocked{n}"), count(f"priority{n}"), count(f"context{n}"))
            for n in range(self.threads)
        )
        contexts = tuple(
            sched.Context(flag(f"configured{n}"), count(f"thread{n}"), count(f"time{n}"), count(f"period{n}"))
            for n in range(self.contexts)
        )
        ready = tuple(queue(f"ready{p}") for p in range(sched.PRIORITIES))
        bits = tuple(flag(f"bit{p}") for p in range(sched.PRIORITIES))
        state = sched.State(
            threads, contexts, ready, bits, queue("release"), queue("endpoint"), count("current"), count("action"),
            count("now"),
        )
        return state, [context.period >= 0 for context in contexts]

    def stages(self) -> Iterator[Stage]:
        """Each operation on any thread, context and priority; then, for all of them, awakening and choosing."""
        thread, context, number = z3.Ints("thread context number")
        about = (and_(thread >= 0, thread < self.threads), and_(context >= 0, context < self.contexts), number >= 0)
        for name in sched.OPERATIONS:
            more = (number < sched.PRIORITIES,) if name == "set_priority" else ()
            operation = sched.Operation(name, thread, context, number)
            yield Stage(name, "INVARIANT", "act", operation, "INSIDE", about=about + more)
        yield Stage("awaken", "INSIDE", "awaken", None, "INSIDE", "AWAKENING")
        yield Stage("choose", "AWAKE", "choose", None, "INVARIANT")
