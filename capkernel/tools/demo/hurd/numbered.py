"""Processes on a stage by number, in the order in which they first run: "process 1", "process 2", …

A process is no domain of the description, so the injector does not know its thread; with a number it does.
"""

from attrs import define, field

from capkernel.kernel.objects import TCB
from capkernel.tools.demo.stage import Stage
from hwmodel.cpu.trap import Trap


@define
class Numbered:
    """Stands between the loop and the injector, and gives each new thread a name there. ``count`` says how many."""

    stage: Stage
    count: int = 0
    _known: list[TCB] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Look from now on."""
        self.stage.system.loop.cpu = self

    def run(self, thread: TCB) -> Trap:
        """Run the thread until it traps."""
        system = self.stage.system
        if not any(thread is known for known in self._known):
            self._known.append(thread)
            is_domain = any(thread is known for known in system.threads.values())
            if system.ready and not is_domain:
                self.count += 1
                system.threads[process(self.count)] = thread
        return self.stage.injector.run(thread)


def process(number: int) -> str:
    """The name of a process on a stage."""
    return f"process {number}"
