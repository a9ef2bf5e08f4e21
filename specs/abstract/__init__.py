"""The abstract kernel: what seL4 does, as values, dicts and functions. Imports only ``capkernel.abi``.

The definition of a step is ``syscall.kernel_entry``; the state is ``state.State``. Read from there.
"""

from specs.abstract.state import Answers, Config, Outputs, State
from specs.abstract.syscall import Event, kernel_entry

__all__ = ["Answers", "Config", "Event", "Outputs", "State", "kernel_entry"]
