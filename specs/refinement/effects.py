"""What the kernel did to the machine in one entry, held against what the specification says it does.

Writes to page tables are compared as page tables are, by the abstraction. What a TLB must forget is not specified here
(invariant G32 says it).
"""

from typing import Any

from specs.abstract.objects import IOPageTable, PageTable
from specs.abstract.state import Outputs, State
from specs.refinement.abstraction import TABLE_BYTES
from specs.refinement.difference import Difference
from specs.refinement.witness import Witness

_IRQ = {"complete_irq": "complete", "mask_irq": "mask", "set_irq_trigger": "trigger"}


def differences(out: Outputs, after: State, witness: Witness) -> list[Difference]:
    """Rows for all that was done differently. ``after`` is the specification's state after the step."""
    found = _Effects(after, witness)
    rows = [
        Difference("machine", name, said, done)
        for name in ("deadline", "vspace", "irq", "iommu", "halted")
        if (said := getattr(out, name)) != (done := getattr(found, name))
    ]
    if out.text and out.text != found.text:
        rows.append(Difference("machine", "console", out.text, found.text))
    for paddr in sorted(out.writes.keys() | found.writes):
        said, held = out.writes.get(paddr), witness.inner.read_word(paddr) if paddr in found.writes else None
        if said != held:
            rows.append(Difference("memory", hex(paddr), said, held))
    if out.cleared or found.cleared:
        rows += _differently_cleared(out, found.cleared, witness)
    return rows


class _Effects:
    """The recorded operations, sorted by kind."""

    def __init__(self, after: State, witness: Witness) -> None:
        self.deadline: int | None = None
        self.vspace: tuple[int, int] | None = None
        self.irq: list[tuple[Any, ...]] = []
        self.iommu: list[tuple[Any, ...]] = []
        self.text: list[int] = []
        self.halted = False
        self.cleared: list[tuple[int, int]] = []
        self.writes: set[int] = set()
        for effect in witness.effects:
            self._take(effect, after)

    def _take(self, effect: tuple[Any, ...], after: State) -> None:
        name, *args = effect
        match name:
            case "set_deadline":
                self.deadline = args[0]
            case "set_vspace":
                self.vspace = args[0], args[1]
            case "write_word":
                table = after.kheap.get(args[0] & -TABLE_BYTES)
                if not isinstance(table, (PageTable, IOPageTable)):
                    self.writes.add(args[0])
            case "clear":
                self.cleared.append((args[0], args[1]))
            case "complete_irq" | "mask_irq" | "set_irq_trigger":
                self.irq.append((_IRQ[name], *args))
            case "iommu_set_context":
                self.iommu.append(("context", *args[:3]))
            case "iommu_invalidate":
                self.iommu.append(("invalidate", *args))
            case "put_char":
                self.text.append(args[0])
            case "halt":
                self.halted = True
            case "write_bytes":
                self.writes.update(range(args[0], args[0] + len(args[1]), 8))
            case _:
                pass


def _merged(regions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Regions as (start, end), in order, adjacent ones joined."""
    merged: list[tuple[int, int]] = []
    for start, size in sorted(regions):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], start + size)
        else:
            merged.append((start, start + size))
    return merged


def _differently_cleared(out: Outputs, done: list[tuple[int, int]], witness: Witness) -> list[Difference]:
    """Other memory was cleared, or it does not read as zero afterwards, though nothing was written there since."""
    said, found = _merged(out.cleared), _merged(done)
    rows = [Difference("memory", "cleared", said, found)] if said != found else []
    for start, size in out.cleared:
        if any(witness.inner.read_bytes(start, size)) and not any(start <= at < start + size for at in out.writes):
            rows.append(Difference("memory", hex(start), "zeros", "something else"))
    return rows
