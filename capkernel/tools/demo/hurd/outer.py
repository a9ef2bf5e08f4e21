"""What some domains do and see, without when: a hash of it for each, chained from its kernel entries.

Of each system call or fault of a domain: what kind, and the registers that it passed; and, when its thread next runs,
the registers that it found. That is all that the kernel tells a program, memory that it shares with others aside. What
is left out: the time at which it happens, interrupts that preempt it, and so the order among different domains.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field

from capkernel.kernel.objects import TCB
from capkernel.tools.demo.stage import Stage
from hwmodel.cpu.trap import INTERRUPTED, Trap

_DID: Final = struct.Struct("<12Q")
_SAW: Final = struct.Struct("<7Q")
_WORD: Final = (1 << 64) - 1


@define
class OuterTrace:
    """Records those domains of a stage from now on. ``times`` are when each did something, in ticks."""

    stage: Stage
    names: tuple[str, ...]
    times: dict[str, list[int]] = field(init=False)
    _hashes: dict[str, Any] = field(init=False)
    _asking: list[TCB] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Look from now on."""
        self._hashes = {name: hashlib.sha256() for name in self.names}
        self.times = {name: [] for name in self.names}
        loop = self.stage.system.loop
        loop.before.append(self._before)
        loop.observers.append(self._after)

    def _name(self, thread: TCB) -> str | None:
        threads = self.stage.system.threads
        return next((name for name in self.names if threads.get(name) is thread), None)

    def _before(self, trap: Trap) -> None:
        thread = self.stage.system.state.current
        name = None if trap.kind == INTERRUPTED else self._name(thread)
        if name is None:
            return
        x = thread.registers
        words = (*trap, *x[10:18], x[5])
        self._hashes[name].update(b"did" + _DID.pack(*(word & _WORD for word in words)))
        self.times[name].append(self.stage.system.machine.now())
        self._asking.append(thread)

    def _after(self, trap: Trap) -> None:
        thread = self.stage.system.state.current
        if not any(thread is asking for asking in self._asking):
            return
        self._asking = [asking for asking in self._asking if asking is not thread]
        name = self._name(thread)
        if name is not None:
            x = thread.registers
            self._hashes[name].update(b"saw" + _SAW.pack(*x[10:16], x[33]))

    def hash(self, names: Iterable[str] | None = None) -> str:
        """SHA-256 over the hashes of all, or of some, in hexadecimal."""
        chosen = self.names if names is None else tuple(names)
        return hashlib.sha256(
            "".join(f"{name} {self._hashes[name].hexdigest()}\n" for name in chosen).encode()
        ).hexdigest()
