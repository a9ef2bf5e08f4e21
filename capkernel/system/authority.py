"""Who may do what to whom: the authority that a description gives, as a graph.

Nodes are protection domains, guests, memory regions, devices (regions at a fixed physical
address outside RAM), interrupts, I/O ports and I/O address spaces, and the memory, reply objects, slots,
address space numbers and time that a grant makes. An ``Edge`` is one right that the description itself
gives, with its reason and place. Grants (see ``grants``) give edges as well, also those of a protection
domain to itself.

Debug system calls need no cap: on a kernel that answers them everybody may write to the debug console.

What is left out: the initial task and Microkit's monitor, which are trusted; caps that Microkit
gives a protection domain on itself; and timing. Channel caps are taken to carry the right to
send only, as the description means them.
"""

from collections.abc import Iterator, Sequence
from enum import Enum

from attrs import frozen

from capkernel.abi import rights as rt
from capkernel.system.description import (
    CapKind,
    IoMap,
    LineIrq,
    Map,
    MemoryRegion,
    Perms,
    ProtectionDomain,
    SystemDescription,
)
from capkernel.system.diagnostics import Location
from capkernel.system.grants import Grant, GrantKind


class NodeKind(Enum):
    """What a node of the graph stands for; the value is the prefix of its full name."""

    PD = "pd"
    GUEST = "vm"
    REGION = "region"
    DEVICE = "device"
    IRQ = "irq"
    IOPORTS = "ioports"
    IO_SPACE = "iospace"
    FIRMWARE = "firmware"
    UNTYPED = "untyped"
    REPLY = "reply"
    SLOTS = "slots"
    ASIDS = "asids"
    TIME = "time"


@frozen(order=True, cache_hash=True)
class Node:
    """A subject or object of authority."""

    name: str
    kind: NodeKind

    @property
    def full_name(self) -> str:
        """The unambiguous name, for example ``pd:client``."""
        return f"{self.kind.value}:{self.name}"

    def __str__(self) -> str:
        """The name, with its kind where the name alone says nothing."""
        plain = (NodeKind.PD, NodeKind.GUEST, NodeKind.REGION, NodeKind.DEVICE)
        return self.name if self.kind in plain else self.full_name


class Right(Enum):
    """What an edge lets its subject do to its object."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    NOTIFY = "notify"
    CALL = "call"
    FAULT = "fault"
    """Send fault messages to it, and be resumed by its reply."""
    CONTROL = "control"
    """Hold its TCB: stop it, read and write its registers, and so act as it."""
    SCHEDULE = "schedule"
    """Hold its scheduling context: stop it, or learn how much time it used."""
    VSPACE = "vspace"
    """Hold its VSpace: cache maintenance and unmapping."""
    SIGNAL = "signal"
    """An interrupt wakes it."""
    ACKNOWLEDGE = "acknowledge"
    """Let an interrupt come again."""
    SEND = "send"
    """Send messages to it that cannot be answered."""
    GRANT = "grant"
    """Send caps along with messages to it."""
    RECEIVE = "receive"
    """Receive in its place what is sent to its endpoint."""
    WAIT = "wait"
    """Wait in its place on its notification."""
    CSPACE = "cspace"
    """Hold its CNode: copy the caps in it, put others there, delete and revoke; receive caps into it."""
    FRAME_READ = "frame-read"
    """Hold a cap of its first frame, to map it for reading (and so for executing)."""
    FRAME_WRITE = "frame-write"
    """The same for writing."""
    RETYPE = "retype"
    """Make kernel objects of it."""
    ANSWER = "answer"
    """Keep a caller in it until it is answered."""
    LIFECYCLE = "lifecycle"
    """Have it stopped, destroyed, built anew as described, and started."""
    ASSIGN = "assign"
    """Make address spaces with its numbers."""
    SPEND = "spend"
    """Let threads run on it."""


@frozen
class Edge:
    """``subject`` may do ``right`` to ``object``."""

    subject: Node
    right: Right
    object: Node
    reason: str
    where: Location

    def __str__(self) -> str:
        """One sentence with the reason and the place."""
        return f"{self.subject} may {self.right.value} {self.object}: {self.reason} ({self.where})"


FIRMWARE = Node("secure monitor", NodeKind.FIRMWARE)
DEBUG = Node("debug", NodeKind.FIRMWARE)
"""The debug console, where debug system calls write; who may make them may also halt the machine."""

_PERM_RIGHTS = (
    (Perms.READ, Right.READ),
    (Perms.WRITE, Right.WRITE),
    (Perms.EXECUTE, Right.EXECUTE),
)
CAP_RIGHTS = {
    CapKind.TCB: Right.CONTROL,
    CapKind.SC: Right.SCHEDULE,
    CapKind.VSPACE: Right.VSPACE,
}
"""What a shared cap lets its holder do to the domain that it is of."""


@frozen
class AuthorityGraph:
    """All nodes and all edges that a description gives, in its order; those of its grants last."""

    system: SystemDescription
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    grants: tuple[Grant, ...] = ()

    def find(self, name: str) -> Node:
        """The node of that name or full name; ``LookupError`` says what there is instead."""
        found = [node for node in self.nodes if name in (node.name, node.full_name)]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(node.full_name for node in found)
            raise LookupError(f"'{name}' is ambiguous: write {choices}")
        known = ", ".join(sorted(str(node) for node in self.nodes))
        raise LookupError(f"there is no '{name}' in the description; there is: {known}")


def authority_of(
    system: SystemDescription, grants: Sequence[Grant] = (), *, has_debug_calls: bool = False
) -> AuthorityGraph:
    """The authority graph of a description with its grants, on a kernel that answers debug system calls or does not."""
    granted = [edge for grant in grants for edge in _grant_edges(system, grant)]
    edges = (*_edges(system), *(_debug_edges(system) if has_debug_calls else ()), *granted)
    nodes = dict.fromkeys(_declared_nodes(system))
    for edge in edges:
        nodes |= dict.fromkeys((edge.subject, edge.object))
    return AuthorityGraph(system, tuple(nodes), edges, tuple(grants))


def region_node(system: SystemDescription, region: MemoryRegion) -> Node:
    """A region, or the device that it is."""
    fixed = region.phys_addr is not None and system.platform.is_device(region.phys_addr)
    return Node(region.name, NodeKind.DEVICE if fixed else NodeKind.REGION)


def pd_node(name: str) -> Node:
    """A protection domain."""
    return Node(name, NodeKind.PD)


def _declared_nodes(system: SystemDescription) -> Iterator[Node]:
    yield from (pd_node(pd.name) for pd in system.protection_domains)
    yield from (region_node(system, region) for region in system.memory_regions)
    yield from (Node(space.name, NodeKind.IO_SPACE) for space in system.io_address_spaces)


def _edges(system: SystemDescription) -> Iterator[Edge]:
    for pd in system.protection_domains:
        yield from _memory_edges(system, pd_node(pd.name), pd.maps)
        yield from _irq_edges(pd)
        yield from _ioport_edges(pd)
        yield from _family_edges(pd)
        yield from _guest_edges(system, pd)
        yield from _cap_edges(pd)
    yield from _channel_edges(system)
    for space in system.io_address_spaces:
        device = Node(space.name, NodeKind.IO_SPACE)
        yield from _memory_edges(system, device, space.maps)


def _memory_edges(
    system: SystemDescription, subject: Node, maps: tuple[Map, ...] | tuple[IoMap, ...]
) -> Iterator[Edge]:
    for map_ in maps:
        region = region_node(system, system.region(map_.region))
        address = map_.vaddr if isinstance(map_, Map) else map_.iovaddr
        how = "map" if isinstance(map_, Map) else "DMA"
        for perm, right in _PERM_RIGHTS:
            if perm in map_.perms:
                yield Edge(subject, right, region, f"{how} at {address:#x}", map_.where)


def _irq_edges(pd: ProtectionDomain) -> Iterator[Edge]:
    for irq in pd.irqs:
        word = "irq" if isinstance(irq, LineIrq) else "vector"
        node, reason = Node(str(irq.number), NodeKind.IRQ), f"{word} on channel {irq.id}"
        yield Edge(pd_node(pd.name), Right.ACKNOWLEDGE, node, reason, irq.where)
        yield Edge(node, Right.SIGNAL, pd_node(pd.name), reason, irq.where)


def _ioport_edges(pd: ProtectionDomain) -> Iterator[Edge]:
    for port in pd.ioports:
        node = Node(f"{port.addr:#x}-{port.addr + port.size - 1:#x}", NodeKind.IOPORTS)
        for right in (Right.READ, Right.WRITE):
            yield Edge(pd_node(pd.name), right, node, f"I/O port {port.id}", port.where)


def _family_edges(pd: ProtectionDomain) -> Iterator[Edge]:
    """A parent controls its child; the child's faults go to its parent."""
    if pd.parent is not None:
        parent, child = pd_node(pd.parent), pd_node(pd.name)
        yield Edge(parent, Right.CONTROL, child, f"child {pd.child_id}", pd.where)
        yield Edge(child, Right.FAULT, parent, "parent handles faults", pd.where)
    if pd.smc:
        yield Edge(pd_node(pd.name), Right.CALL, FIRMWARE, "smc", pd.where)


def _debug_edges(system: SystemDescription) -> Iterator[Edge]:
    for pd in system.protection_domains:
        yield Edge(pd_node(pd.name), Right.WRITE, DEBUG, "debug calls", pd.where)


def _guest_edges(system: SystemDescription, pd: ProtectionDomain) -> Iterator[Edge]:
    guest = pd.virtual_machine
    if guest is not None:
        node = Node(guest.name, NodeKind.GUEST)
        yield Edge(pd_node(pd.name), Right.CONTROL, node, "virtual machine", guest.where)
        yield Edge(node, Right.FAULT, pd_node(pd.name), "guest exits", guest.where)
        yield from _memory_edges(system, node, guest.maps)


def _cap_edges(pd: ProtectionDomain) -> Iterator[Edge]:
    for mapping in pd.cap_mappings:
        if mapping.pd != pd.name:
            reason = f"cap_{mapping.kind.value} in slot {mapping.slot}"
            right = CAP_RIGHTS[mapping.kind]
            yield Edge(pd_node(pd.name), right, pd_node(mapping.pd), reason, mapping.where)


def _channel_edges(system: SystemDescription) -> Iterator[Edge]:
    for channel in system.channels:
        for own, other in channel.directions():
            if own.pd == other.pd:
                continue
            ends = pd_node(own.pd), pd_node(other.pd)
            if own.pp:
                yield Edge(ends[0], Right.CALL, ends[1], f"pp on channel {own.id}", own.where)
            if own.notify:
                reason = f"notify on channel {own.id}"
                yield Edge(ends[0], Right.NOTIFY, ends[1], reason, own.where)


def _grant_edges(system: SystemDescription, grant: Grant) -> Iterator[Edge]:
    object_ = _granted_node(system, grant)
    badge = f", badge {grant.badge:#x}" if grant.badge else ""
    amount = f", {grant.budget} µs in {grant.period} µs" if grant.budget else ""
    lasting = ", from one life to the next" if grant.lasts else ""
    reason = f"granted {grant.kind.value} in slot {grant.slot}{badge}{amount}{lasting}"
    for right in _granted_rights(grant):
        yield Edge(pd_node(grant.pd), right, object_, reason, grant.where)
    if grant.faults is not None:
        reason = f"'{grant.pd}' handles faults, as of child {grant.faults}"
        yield Edge(object_, Right.FAULT, pd_node(grant.pd), reason, grant.where)


def _granted_node(system: SystemDescription, grant: Grant) -> Node:
    match grant.kind:
        case GrantKind.FRAME:
            return region_node(system, system.region(grant.of))
        case GrantKind.UNTYPED:
            return Node(f"{grant.pd} slot {grant.slot}", NodeKind.UNTYPED)
        case GrantKind.REPLY:
            return Node(f"{grant.pd} slot {grant.slot}", NodeKind.REPLY)
        case GrantKind.SLOTS:
            return Node(f"{grant.pd} slot {grant.slot}", NodeKind.SLOTS)
        case GrantKind.ASID_POOL:
            return Node(f"{grant.pd} slot {grant.slot}", NodeKind.ASIDS)
        case GrantKind.TIME:
            return Node(f"{grant.pd} slot {grant.slot}", NodeKind.TIME)
        case GrantKind.SCHED_CONTROL:
            return Node("processor", NodeKind.TIME)
        case GrantKind.VSPACE:
            return pd_node(grant.pd)
        case _:
            return pd_node(grant.of)


def _granted_rights(grant: Grant) -> tuple[Right, ...]:
    match grant.kind:
        case GrantKind.ENDPOINT:
            return _endpoint_rights(grant.rights)
        case GrantKind.NOTIFICATION:
            return _of_bits(grant.rights, Right.NOTIFY, Right.WAIT)
        case GrantKind.FRAME:
            return _of_bits(grant.rights, Right.FRAME_WRITE, Right.FRAME_READ)
        case GrantKind.CNODE | GrantKind.SLOTS:
            return (Right.CSPACE,)
        case GrantKind.UNTYPED:
            return (Right.RETYPE,)
        case GrantKind.REPLY:
            return (Right.ANSWER,)
        case GrantKind.VSPACE:
            return (Right.VSPACE,)
        case GrantKind.LIFECYCLE:
            return (Right.LIFECYCLE,)
        case GrantKind.ASID_POOL:
            return (Right.ASSIGN,)
        case GrantKind.TIME:
            return (Right.SPEND,)
        case GrantKind.SCHED_CONTROL:
            return (Right.SCHEDULE,)


def _endpoint_rights(rights: int) -> tuple[Right, ...]:
    """Without any right to grant a message is not answered; with the full one it carries caps."""
    found = _of_bits(rights, Right.CALL if rights & rt.CALL_GRANTS else Right.SEND, Right.RECEIVE)
    return (*found, Right.GRANT) if rights & rt.WRITE and rights & rt.GRANT else found


def _of_bits(rights: int, write: Right, read: Right) -> tuple[Right, ...]:
    return (*((write,) if rights & rt.WRITE else ()), *((read,) if rights & rt.READ else ()))
