"""Device memory that a program has not written: an input that its record does not give.

The kernel never clears device memory, so what lies there may be left over from before the recording. ``DeviceWatch``
finds the words that a thread executes although nobody wrote them in this program. Ordinary memory is never in doubt.
"""

from capkernel.tools.conform.world import RAM_TOP, World
from hwmodel.machine import Machine
from hwmodel.mmu import FETCH, STORE

RET = 0x00008067
_INSTRUCTION_BYTES = 4


class DeviceWatch:
    """Notes, from the start of a replay, what is written to and fetched from device memory.

    ``fetched`` are the physical addresses of the instructions fetched in the current step that nobody wrote.
    """

    def __init__(self) -> None:
        self.fetched: list[int] = []
        self.base = 0
        self._written: set[int] = set()

    def begin(self, world: World) -> None:
        """Start to watch the machine of a replay."""
        self.base = world.device_untyped
        self._watch_fetches(world.machine)
        self._watch_stores(world.machine)

    def step(self, record: object) -> None:
        """A new step begins."""
        self.fetched.clear()

    def _watch_fetches(self, machine: Machine) -> None:
        fetch = machine.fetch

        def watched(vaddr: int) -> int:
            word = fetch(vaddr)
            paddr = machine.mmu.resolve(vaddr, FETCH)
            if paddr >= RAM_TOP and self._written.isdisjoint(range(paddr, paddr + _INSTRUCTION_BYTES)):
                self.fetched.append(paddr)
            return word

        machine.fetch = watched

    def _watch_stores(self, machine: Machine) -> None:
        store, amo, conditional = machine.store, machine.amo, machine.store_conditional

        def watched_store(vaddr: int, size: int, value: int) -> None:
            store(vaddr, size, value)
            self._note(machine, vaddr, size)

        def watched_amo(operation: str, vaddr: int, size: int, value: int) -> int:
            old = amo(operation, vaddr, size, value)
            self._note(machine, vaddr, size)
            return old

        def watched_conditional(vaddr: int, size: int, value: int) -> bool:
            stored = conditional(vaddr, size, value)
            if stored:
                self._note(machine, vaddr, size)
            return stored

        machine.store, machine.amo, machine.store_conditional = watched_store, watched_amo, watched_conditional

    def _note(self, machine: Machine, vaddr: int, size: int) -> None:
        for address in range(vaddr, vaddr + size):
            paddr = machine.mmu.resolve(address, STORE)
            if paddr >= RAM_TOP:
                self._written.add(paddr)


def leave_ret(world: World, addresses: frozenset[int]) -> None:
    """Put ``ret`` at physical addresses in device memory, as if left over from before the program."""
    for paddr in addresses:
        world.machine.write_bytes(paddr, RET.to_bytes(_INSTRUCTION_BYTES, "little"))
