"""The model of a system description: what a `.system` file or a ``SystemBuilder`` says.

Everything here is frozen data that has already been judged valid for one ``Platform``. Names
of protection domains and memory regions are unique, every reference resolves, and numbers are
in range, so a consumer needs no checks of its own. Sizes and addresses are in bytes, budgets
and periods in microseconds. ``where`` is the place in the source; it does not take part in
comparisons.
"""

from collections.abc import Iterator
from enum import Enum, Flag, auto
from typing import Protocol, TypeVar

from attrs import field, frozen

from capkernel.system.board import Platform
from capkernel.system.diagnostics import NOWHERE, Diagnostic, Location


@frozen(kw_only=True)
class Placed:
    """Something that stands somewhere in a source; comparisons ignore where."""

    where: Location = field(default=NOWHERE, eq=False, repr=False)


class Perms(Flag):
    """What a mapping lets its holder do."""

    NONE = 0
    READ = auto()
    WRITE = auto()
    EXECUTE = auto()

    def __str__(self) -> str:
        """The letters that a description uses, for example ``rw``."""
        letters = ((Perms.READ, "r"), (Perms.WRITE, "w"), (Perms.EXECUTE, "x"))
        return "".join(letter for perm, letter in letters if perm in self)


class BootInfoKind(Enum):
    """The boot information that can be copied into a memory region; values as written."""

    X86_VBE = "x86_vbe"
    X86_MBMMAP = "x86_mbmmap"
    X86_ACPI_RSDP = "x86_acpi_rsdp"
    X86_FRAMEBUFFER = "x86_framebuffer"
    X86_TSC_FREQ = "x86_tsc_freq"
    FDT = "fdt"


@frozen(kw_only=True)
class FilePrefill:
    """A region starts with the bytes of a file; the rest is zero."""

    path: str
    data: bytes = field(repr=False)


@frozen(kw_only=True)
class BootInfoPrefill:
    """A region is filled with boot information by the initial task."""

    kind: BootInfoKind


@frozen(kw_only=True)
class MemoryRegion(Placed):
    """A run of frames. ``phys_addr`` is set when the physical address is fixed."""

    name: str
    size: int
    page_size: int
    phys_addr: int | None = None
    prefill: FilePrefill | BootInfoPrefill | None = None

    @property
    def page_count(self) -> int:
        """How many frames the region has."""
        return self.size // self.page_size


@frozen(kw_only=True)
class Map(Placed):
    """A region mapped into a protection domain or virtual machine.

    The three ``setvar_`` names are symbols of the program that receive the address, the
    region's size, and the length of the prefilled data.
    """

    region: str
    vaddr: int
    perms: Perms = Perms.READ | Perms.WRITE
    cached: bool = True
    setvar_vaddr: str | None = None
    setvar_size: str | None = None
    setvar_prefill_size: str | None = None


class Trigger(Enum):
    """How an interrupt line signals."""

    LEVEL = "level"
    EDGE = "edge"


class Polarity(Enum):
    """Which level of an IOAPIC pin is active."""

    LOW = "low"
    HIGH = "high"


@frozen(order=True)
class PciAddress:
    """A PCI function: bus 0 to 255, device 0 to 31, function 0 to 7."""

    bus: int
    device: int
    function: int

    @property
    def request_id(self) -> int:
        """As the function names itself to the IOMMU: 16 bits."""
        return self.bus << 8 | self.device << 3 | self.function

    def __str__(self) -> str:
        """The usual hexadecimal form ``bb:dd.f``."""
        return f"{self.bus:02x}:{self.device:02x}.{self.function:x}"


@frozen(kw_only=True)
class LineIrq(Placed):
    """An interrupt of the platform's controller (PLIC or GIC), delivered on channel ``id``."""

    id: int
    irq: int
    trigger: Trigger = Trigger.LEVEL
    setvar_id: str | None = None

    @property
    def number(self) -> int:
        """The number that must be unique in a system."""
        return self.irq


@frozen(kw_only=True)
class IoApicIrq(Placed):
    """An x86-64 interrupt from an IOAPIC pin."""

    id: int
    pin: int
    vector: int
    ioapic: int = 0
    trigger: Trigger = Trigger.LEVEL
    polarity: Polarity = Polarity.HIGH
    setvar_id: str | None = None

    @property
    def number(self) -> int:
        """The number that must be unique in a system."""
        return self.vector


@frozen(kw_only=True)
class MsiIrq(Placed):
    """An x86-64 message-signalled interrupt of a PCI device."""

    id: int
    device: PciAddress
    handle: int
    vector: int
    setvar_id: str | None = None

    @property
    def number(self) -> int:
        """The number that must be unique in a system."""
        return self.vector


Irq = LineIrq | IoApicIrq | MsiIrq


@frozen(kw_only=True)
class IoPort(Placed):
    """A range of x86-64 I/O ports: ``size`` ports from ``addr`` on."""

    id: int
    addr: int
    size: int
    setvar_id: str | None = None
    setvar_addr: str | None = None

    @property
    def ports(self) -> range:
        """The port numbers."""
        return range(self.addr, self.addr + self.size)


@frozen(kw_only=True)
class SetVar(Placed):
    """A symbol of the program that receives the physical address of ``region``."""

    symbol: str
    region: str


class CapKind(Enum):
    """The caps of one protection domain that another may be given; values as in the file."""

    TCB = "tcb"
    SC = "sc"
    VSPACE = "vspace"


@frozen(kw_only=True)
class CapMapping(Placed):
    """A cap to protection domain ``pd``, put into root CNode slot ``slot`` of its holder."""

    kind: CapKind
    pd: str
    slot: int


@frozen(kw_only=True)
class ProgramImage(Placed):
    """The program of a protection domain, paths as written, relative to the search path."""

    path: str
    path_for_symbols: str | None = None


@frozen(kw_only=True)
class VirtualCpu(Placed):
    """A virtual CPU; without ``cpu`` it runs on the core of its protection domain."""

    id: int
    cpu: int | None = None
    setvar_id: str | None = None


@frozen(kw_only=True)
class Scheduling:
    """Priority 0 to 255; ``budget`` of every ``period``, both in microseconds."""

    priority: int = 0
    budget: int = 1000
    period: int = 1000


@frozen(kw_only=True)
class VirtualMachine(Placed):
    """A guest of a protection domain. On x86-64 it has no scheduling parameters of its own."""

    name: str
    vcpus: tuple[VirtualCpu, ...]
    maps: tuple[Map, ...] = ()
    scheduling: Scheduling | None = None


@frozen(kw_only=True)
class ProtectionDomain(Placed):
    """A protection domain. ``parent`` and ``child_id`` are set on children only.

    ``setvar_id`` is a symbol of the *parent's* program that receives ``child_id``. ``domain``
    names an entry of ``SystemDescription.domains``.
    """

    name: str
    program: ProgramImage
    scheduling: Scheduling = Scheduling()
    passive: bool = False
    stack_size: int = 0x2000
    smc: bool = False
    cpu: int = 0
    domain: str | None = None
    fpu: bool = True
    maps: tuple[Map, ...] = ()
    irqs: tuple[Irq, ...] = ()
    ioports: tuple[IoPort, ...] = ()
    setvars: tuple[SetVar, ...] = ()
    cap_mappings: tuple[CapMapping, ...] = ()
    virtual_machine: VirtualMachine | None = None
    parent: str | None = None
    child_id: int | None = None
    setvar_id: str | None = None


@frozen(kw_only=True)
class ChannelEnd(Placed):
    """One end of a channel, as its protection domain sees it.

    ``pp``: this end may call the other; ``notify``: this end may notify the other.
    """

    pd: str
    id: int
    pp: bool = False
    notify: bool = True
    setvar_id: str | None = None


@frozen(kw_only=True)
class Channel(Placed):
    """Two ends that are connected."""

    a: ChannelEnd
    b: ChannelEnd

    def directions(self) -> Iterator[tuple[ChannelEnd, ChannelEnd]]:
        """Both (from, to) pairs."""
        yield self.a, self.b
        yield self.b, self.a


@frozen(kw_only=True)
class IoMap(Placed):
    """A region that a device may reach by DMA at ``iovaddr``."""

    region: str
    iovaddr: int
    perms: Perms = Perms.READ | Perms.WRITE


@frozen(kw_only=True)
class IoAddressSpace(Placed):
    """What the IOMMU lets one PCI device reach. ``domain_id`` tags it in the hardware."""

    name: str
    device: PciAddress
    domain_id: int
    maps: tuple[IoMap, ...] = ()


@frozen(kw_only=True)
class Domain(Placed):
    """A scheduling domain."""

    name: str
    id: int


class DurationUnit(Enum):
    """The unit of a schedule entry; values as written."""

    MICROSECONDS = "us"
    TICKS = "ticks"


@frozen(kw_only=True)
class ScheduleEntry(Placed):
    """Run ``domain`` for ``duration``."""

    domain: str
    duration: int
    unit: DurationUnit = DurationUnit.MICROSECONDS


@frozen(kw_only=True)
class ScheduleEnd(Placed):
    """The schedule starts again at its start index."""


@frozen(kw_only=True)
class DomainSchedule(Placed):
    """The domain schedule. ``index_shift`` is where it goes in the kernel's array."""

    entries: tuple[ScheduleEntry | ScheduleEnd, ...]
    start_index: int = 0
    index_shift: int | None = None


@frozen(kw_only=True)
class SystemDescription:
    """A whole system. ``protection_domains`` lists every parent before its children, depth
    first, in file order: the order in which Microkit numbers them.

    ``remarks`` are things that Microkit accepts in silence but that will not work.
    """

    name: str = field(eq=False)
    platform: Platform
    protection_domains: tuple[ProtectionDomain, ...]
    memory_regions: tuple[MemoryRegion, ...] = ()
    channels: tuple[Channel, ...] = ()
    io_address_spaces: tuple[IoAddressSpace, ...] = ()
    domains: tuple[Domain, ...] = ()
    schedule: DomainSchedule | None = None
    remarks: tuple[Diagnostic, ...] = field(default=(), eq=False, repr=False)

    def pd(self, name: str) -> ProtectionDomain:
        """The protection domain of that name; ``KeyError`` when there is none."""
        return _named(name, self.protection_domains)

    def region(self, name: str) -> MemoryRegion:
        """The memory region of that name; ``KeyError`` when there is none."""
        return _named(name, self.memory_regions)

    def domain_id(self, pd: ProtectionDomain) -> int:
        """The kernel's number of the domain a protection domain runs in (0 without domains)."""
        return _named(pd.domain, self.domains).id if pd.domain else 0

    def children(self, pd: str) -> tuple[ProtectionDomain, ...]:
        """The direct children of a protection domain."""
        return tuple(child for child in self.protection_domains if child.parent == pd)

    def ends(self, pd: str) -> Iterator[tuple[ChannelEnd, ChannelEnd]]:
        """The (own, other) channel ends of a protection domain."""
        for channel in self.channels:
            for own, other in channel.directions():
                if own.pd == pd:
                    yield own, other

    def receives_calls(self, pd: str) -> bool:
        """Whether something sends to the protection domain by endpoint: children, a guest, or
        callers. Otherwise it waits on its notification only.
        """
        has_guest = self.pd(pd).virtual_machine is not None
        called = any(other.pp for _, other in self.ends(pd))
        return has_guest or called or bool(self.children(pd))


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


_Named = TypeVar("_Named", bound=_HasName)


def _named(name: str, things: tuple[_Named, ...]) -> _Named:
    for thing in things:
        if thing.name == name:
            return thing
    raise KeyError(name)
