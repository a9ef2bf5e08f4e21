"""An IOMMU: translates what devices access, by tables in RAM.

After Intel's "Virtualization Technology for Directed I/O" (VT-d) in legacy mode. A device is known
by its request id (bus 8 bits, device 5, function 3). Root and context tables of 256 entries of 16
bytes lead from there to a domain id and a page table of 2 to 6 levels of 512 entries of 64 bits:

    root entry     low word   bit 0 present, bits 63..12 context table
    context entry  low word   bit 0 present, bits 63..12 page-table root
                   high word  bits 2..0 levels - 2, bits 23..8 domain id
    PTE            bit 0 read, bit 1 write, bits 51..12 address; all else must be zero

Every level must allow an access. What was read once is believed until its domain is invalidated:
context entries in a context cache, pages in an IOTLB tagged by domain id. Absent entries are not
cached. A device without a present context entry reaches nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from hwmodel.memory import BusError, Memory
from hwmodel.stateful import Stateful

READ, WRITE = 1, 2
MIN_LEVELS, MAX_LEVELS = 2, 6
FAULT_LOG_SIZE = 8
IOTLB_SIZE = 64

ROOT_ABSENT, CONTEXT_ABSENT, CONTEXT_INVALID, BEYOND_WIDTH = 1, 2, 3, 4
WRITE_DENIED, READ_DENIED, TABLE_UNREACHABLE, PTE_RESERVED_BITS = 5, 6, 7, 12
"""Fault reasons, numbered as in VT-d; 7 stands for any table that lies outside RAM."""

_PAGE = ~0xFFF
_PTE_ADDRESS = ((1 << 52) - 1) & _PAGE
_PTE_RESERVED = ~(_PTE_ADDRESS | READ | WRITE)


class DmaFault(Exception):
    """A device's access that was refused. Attributes as the parameters; `reason` is a number."""

    def __init__(self, request_id: int, iova: int, *, write: bool, reason: int) -> None:
        kind = "write" if write else "read"
        super().__init__(f"{kind} at {iova:#x} by device {request_id:#06x}: reason {reason}")
        self.request_id = request_id
        self.iova = iova
        self.write = write
        self.reason = reason


class FaultRecord(NamedTuple):
    """One entry of the fault log."""

    request_id: int
    iova: int
    write: bool
    reason: int


class Context(NamedTuple):
    """What a context entry says."""

    domain_id: int
    root_paddr: int
    levels: int


class IoMapping(NamedTuple):
    """One mapped 4096-byte page of a device; `rights` are READ and WRITE bits."""

    iova: int
    paddr: int
    rights: int


class Iommu(Stateful):
    """The unit, with its root and context tables in 257 pages of RAM from `tables_paddr`."""

    __slots__ = ("_contexts", "_faults", "_iotlb", "_memory", "fault_overflow", "tables_paddr")
    STATE = ("_contexts", "_faults", "_iotlb", "fault_overflow")

    def __init__(self, memory: Memory, tables_paddr: int) -> None:
        self._memory = memory
        self.tables_paddr = tables_paddr
        self._contexts: dict[int, tuple[int, int, int]] = {}
        self._iotlb: dict[tuple[int, int], int] = {}
        self._faults: list[tuple[int, int, bool, int]] = []
        self.fault_overflow = False

    # The kernel's side

    def set_context(self, request_id: int, domain_id: int, root_paddr: int | None, levels: int) -> None:
        """Give a device the page table at `root_paddr`, or with None nothing at all.

        Writes the tables in RAM, and only those: where a present entry changes, the old one is
        believed until `invalidate` is called with the *old* domain id. Raises ValueError for ids of
        more than 16 bits or levels outside 2..6.
        """
        if not (0 <= request_id < 1 << 16 and 0 <= domain_id < 1 << 16):
            raise ValueError("request and domain ids have 16 bits")
        entry = self._context_paddr(request_id)
        if root_paddr is None:
            self._memory.write_word(entry, 0)
            self._memory.write_word(entry + 8, 0)
            return
        if not MIN_LEVELS <= levels <= MAX_LEVELS or root_paddr & ~_PTE_ADDRESS:
            raise ValueError("a page table has 2 to 6 levels and lies on a page boundary")
        self._memory.write_word(self._root_entry_paddr(request_id), entry & _PAGE | 1)
        self._memory.write_word(entry + 8, domain_id << 8 | levels - MIN_LEVELS)
        self._memory.write_word(entry, root_paddr | 1)

    def invalidate(self, domain_id: int) -> None:
        """Forget all cached contexts and pages of a domain."""
        self._contexts = {
            request_id: context for request_id, context in self._contexts.items() if context[0] != domain_id
        }
        self._iotlb = {tag: entry for tag, entry in self._iotlb.items() if tag[0] != domain_id}

    def fault_log(self) -> tuple[FaultRecord, ...]:
        """Return the recorded faults, oldest first.

        The log keeps the first 8; after that `fault_overflow` is set and faults go unrecorded.
        """
        return tuple(FaultRecord(*fault) for fault in self._faults)

    def clear_fault_log(self) -> None:
        """Empty the fault log."""
        self._faults.clear()
        self.fault_overflow = False

    # The devices' side

    def translate(self, request_id: int, iova: int, write: bool) -> int:
        """Return the physical address that a device reaches at `iova`.

        Good up to the end of the 4096-byte page. Raises `DmaFault`, after logging it.
        """
        try:
            return self._translate(request_id, iova, write)
        except DmaFault as fault:
            self._record(fault)
            raise

    def _translate(self, request_id: int, iova: int, write: bool) -> int:
        context = self._cached_context(request_id, iova, write)
        tag = (context.domain_id, iova >> 12)
        entry = self._iotlb.get(tag)
        if entry is None:
            entry = self._walk(context, request_id, iova, write)
            if len(self._iotlb) >= IOTLB_SIZE:
                del self._iotlb[next(iter(self._iotlb))]
            self._iotlb[tag] = entry
        if not entry & (WRITE if write else READ):
            reason = WRITE_DENIED if write else READ_DENIED
            raise DmaFault(request_id, iova, write=write, reason=reason)
        return entry & _PAGE | iova & 0xFFF

    def _cached_context(self, request_id: int, iova: int, write: bool) -> Context:
        cached = self._contexts.get(request_id)
        if cached is not None:
            return Context(*cached)
        context = self._read_context(request_id)
        if isinstance(context, int):
            raise DmaFault(request_id, iova, write=write, reason=context)
        self._contexts[request_id] = (context.domain_id, context.root_paddr, context.levels)
        return context

    def _walk(self, context: Context, request_id: int, iova: int, write: bool) -> int:
        """Return the page's address and the rights that all levels allow; fault if there are none."""

        def fault(reason: int) -> DmaFault:
            return DmaFault(request_id, iova, write=write, reason=reason)

        if not 0 <= iova < 1 << 12 + 9 * context.levels:
            raise fault(BEYOND_WIDTH)
        table, rights = context.root_paddr, READ | WRITE
        for level in reversed(range(context.levels)):
            try:
                pte = self._memory.read_word(table + 8 * (iova >> 12 + 9 * level & 511))
            except BusError:
                raise fault(TABLE_UNREACHABLE) from None
            rights &= pte
            if not rights:
                raise fault(WRITE_DENIED if write else READ_DENIED)
            if pte & _PTE_RESERVED:
                raise fault(PTE_RESERVED_BITS)
            table = pte & _PTE_ADDRESS
        return table | rights

    def iotlb_entries(self) -> Iterator[tuple[int, IoMapping]]:
        """Yield (domain id, page) for each page that the IOTLB believes in, oldest first."""
        for (domain_id, number), entry in self._iotlb.items():
            yield domain_id, IoMapping(number << 12, entry & _PAGE, entry & (READ | WRITE))

    # What RAM says

    def context(self, request_id: int) -> Context | None:
        """Return what the tables in RAM say of a device now, caches aside; None if nothing."""
        found = self._read_context(request_id)
        return None if isinstance(found, int) else found

    def mappings(self, request_id: int) -> Iterator[IoMapping]:
        """Yield all pages that the tables in RAM let a device reach now, by ascending iova."""
        context = self.context(request_id)
        if context is not None:
            yield from self._mappings_below(
                context.root_paddr, context.levels - 1, 0, READ | WRITE
            )  # fmt: skip

    def _mappings_below(self, table: int, level: int, base: int, rights: int) -> Iterator[IoMapping]:
        if not self._memory.contains(table, 4096):
            return
        words = memoryview(self._memory.read(table, 4096)).cast("Q")
        for index, pte in enumerate(words):
            allowed = rights & pte
            if not allowed or pte & _PTE_RESERVED:
                continue
            iova = base + (index << 12 + 9 * level)
            if level == 0:
                yield IoMapping(iova, pte & _PTE_ADDRESS, allowed)
            else:
                yield from self._mappings_below(pte & _PTE_ADDRESS, level - 1, iova, allowed)

    def _root_entry_paddr(self, request_id: int) -> int:
        return self.tables_paddr + 16 * (request_id >> 8)

    def _context_paddr(self, request_id: int) -> int:
        bus, function = request_id >> 8, request_id & 0xFF
        return self.tables_paddr + 4096 * (1 + bus) + 16 * function

    def _read_context(self, request_id: int) -> Context | int:
        """Follow root and context table in RAM; return the context or the reason for a fault."""
        try:
            root_entry = self._memory.read_word(self._root_entry_paddr(request_id))
            if not root_entry & 1:
                return ROOT_ABSENT
            entry = (root_entry & _PAGE) + 16 * (request_id & 0xFF)
            low, high = self._memory.read_word(entry), self._memory.read_word(entry + 8)
        except BusError:
            return TABLE_UNREACHABLE
        if not low & 1:
            return CONTEXT_ABSENT
        levels = (high & 7) + MIN_LEVELS
        if levels > MAX_LEVELS:
            return CONTEXT_INVALID
        return Context(high >> 8 & 0xFFFF, low & _PTE_ADDRESS, levels)

    def _record(self, fault: DmaFault) -> None:
        if len(self._faults) >= FAULT_LOG_SIZE:
            self.fault_overflow = True
            return
        self._faults.append((fault.request_id, fault.iova, fault.write, fault.reason))
