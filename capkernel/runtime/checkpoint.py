"""Going back in time: kernel and machine saved together."""

from dataclasses import dataclass

from capkernel.kernel.state import State
from capkernel.runtime import snapshot
from hwmodel.machine import Machine, MachineSnapshot


@dataclass(frozen=True)
class Checkpoint:
    """A saved kernel and machine. CPU models that keep host state (coroutines) are not part of it."""

    kernel: snapshot.Saved
    machine: MachineSnapshot

    def restore(self, machine: Machine) -> None:
        """Go back; from here the same inputs give the same run."""
        snapshot.restore(self.kernel)
        machine.restore(self.machine)


def checkpoint(state: State, machine: Machine) -> Checkpoint:
    """Save kernel, RAM (the pages in use), TLB, devices and clock."""
    return Checkpoint(snapshot.save(state), machine.snapshot())
