"""What is allowed but looks wrong in a valid description.

One signature for all: a check is handed the graph and yields ``Finding``s. ``CHECKS`` lists
them. A finding never makes a description invalid.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

from attrs import frozen

from capkernel.abi import rights as rt
from capkernel.system.authority import (
    DEBUG,
    AuthorityGraph,
    Edge,
    Node,
    NodeKind,
    Right,
    region_node,
)
from capkernel.system.badges import meaning
from capkernel.system.description import CapKind, Map, Perms, ScheduleEntry
from capkernel.system.diagnostics import Location
from capkernel.system.grants import GrantKind

_MESSAGES = {GrantKind.ENDPOINT: Right.CALL, GrantKind.NOTIFICATION: Right.NOTIFY}
"""The kinds of grants that messages go by, and the right that those have who send."""


@frozen
class Finding:
    """``rule`` is the name of the check, ``message`` what it found."""

    rule: str
    message: str
    where: Location

    def __str__(self) -> str:
        """One line: place, rule, message."""
        return f"{self.where}: [{self.rule}] {self.message}"


def accepted_in_silence(graph: AuthorityGraph) -> Iterator[Finding]:
    """What Microkit reads without complaint, although it will not do what it says."""
    for remark in graph.system.remarks:
        hint = f" ({remark.hint})" if remark.hint else ""
        yield Finding("ineffective", remark.message + hint, remark.where)


def write_and_execute(graph: AuthorityGraph) -> Iterator[Finding]:
    """Memory that can be written can also be executed, in one map or between two holders."""
    for region in graph.nodes:
        writers = _holders(graph, region, Right.WRITE)
        for runner in _holders(graph, region, Right.EXECUTE):
            if any(writer.subject == runner.subject for writer in writers):
                message = f"{runner.subject} may write and execute {region}"
                yield Finding("write-and-execute", message, runner.where)
                continue
            for writer in writers:
                message = f"{runner.subject} executes {region}, which {writer.subject} may write"
                yield Finding("write-and-execute", message, writer.where)


def _holders(graph: AuthorityGraph, region: Node, right: Right) -> list[Edge]:
    return [edge for edge in graph.edges if edge.object == region and edge.right is right]


def _maps(graph: AuthorityGraph) -> Iterator[tuple[str, Map]]:
    for pd in graph.system.protection_domains:
        yield from ((pd.name, map_) for map_ in pd.maps)
        guest = pd.virtual_machine
        if guest:
            yield from ((guest.name, map_) for map_ in guest.maps)


def useless_maps(graph: AuthorityGraph) -> Iterator[Finding]:
    """A map without any permission, or one that the hardware cannot make as written."""
    for name, map_ in _maps(graph):
        if map_.perms == Perms.NONE:
            message = f"{name} maps '{map_.region}' without any permission"
            yield Finding("useless-map", message, map_.where)
        elif Perms.READ not in map_.perms and Perms.WRITE in map_.perms:
            message = f"{name} maps '{map_.region}' to write but not to read"
            yield Finding("useless-map", message, map_.where)


def unused_regions(graph: AuthorityGraph) -> Iterator[Finding]:
    """A region that nobody maps and whose address nobody is told."""
    system = graph.system
    used = {edge.object for edge in graph.edges}
    told = {setvar.region for pd in system.protection_domains for setvar in pd.setvars}
    mapped = {map_.region for _, map_ in _maps(graph)}
    for region in system.memory_regions:
        if region_node(system, region) not in used and region.name not in told | mapped:
            message = f"nobody uses the memory region '{region.name}'"
            yield Finding("unused-region", message, region.where)
        elif region.size == 0:
            yield Finding("unused-region", f"'{region.name}' has no memory", region.where)


def unused_channels(graph: AuthorityGraph) -> Iterator[Finding]:
    """A channel over which nothing can be sent, or that leads back to where it starts."""
    for channel in graph.system.channels:
        names = f"'{channel.a.pd}' and '{channel.b.pd}'"
        if not any(end.pp or end.notify for end in (channel.a, channel.b)):
            message = f"the channel between {names} carries nothing"
            yield Finding("unused-channel", message, channel.where)
        if channel.a.pd == channel.b.pd:
            message = f"'{channel.a.pd}' has a channel to itself"
            yield Finding("unused-channel", message, channel.where)


def unreachable_passive(graph: AuthorityGraph) -> Iterator[Finding]:
    """A passive protection domain runs on the time of whoever calls it; without, never."""
    for pd in graph.system.protection_domains:
        woken = {Right.CALL, Right.NOTIFY, Right.SIGNAL, Right.FAULT, Right.SEND}
        incoming = [e for e in graph.edges if e.object == Node(pd.name, NodeKind.PD)]
        if pd.passive and not any(edge.right in woken for edge in incoming):
            message = f"'{pd.name}' is passive, and nothing ever calls or wakes it"
            yield Finding("unreachable", message, pd.where)


def no_budget(graph: AuthorityGraph) -> Iterator[Finding]:
    """A budget of nothing."""
    for pd in graph.system.protection_domains:
        if pd.scheduling.budget == 0:
            yield Finding("no-budget", f"'{pd.name}' has a budget of 0 µs", pd.where)


def unexpected_sharing(graph: AuthorityGraph) -> Iterator[Finding]:
    """Memory that one side writes and another maps, with no channel between them; a device that
    several drive; memory that crosses domains.
    """
    for region in graph.nodes:
        if region == DEBUG:
            continue
        maps = [e for e in graph.edges if e.object == region and e.right in (Right.READ, Right.WRITE)]
        subjects = dict.fromkeys(edge.subject for edge in maps if edge.subject.kind is NodeKind.PD)
        for first, second in combinations(subjects, 2):
            why = _sharing(graph, region, first, second, maps)
            where = next(edge.where for edge in maps if edge.subject == second)
            if why:
                yield Finding("unexpected-sharing", why, where)


def _sharing(graph: AuthorityGraph, region: Node, first: Node, second: Node, maps: list[Edge]) -> str:
    """Why it is odd that two protection domains share a region, or nothing."""
    pair = {first, second}
    if region.kind is NodeKind.DEVICE:
        return f"{first} and {second} both drive the device {region}"
    if not any(edge.right is Right.WRITE and edge.subject in pair for edge in maps):
        return ""
    domains = {graph.system.pd(node.name).domain for node in pair}
    if len(domains) > 1:
        return f"{first} and {second} share {region} across scheduling domains"
    if not any({edge.subject, edge.object} == pair for edge in graph.edges):
        return f"{first} and {second} share {region} but have no channel"
    return ""


def cached_devices(graph: AuthorityGraph) -> Iterator[Finding]:
    """Device registers behind a cache. Only where it is known what is RAM."""
    if graph.system.platform.ram is None:
        return
    devices = {node.name for node in graph.nodes if node.kind is NodeKind.DEVICE}
    for name, map_ in _maps(graph):
        if map_.region in devices and map_.cached:
            message = f"{name} maps the device '{map_.region}' cached (write cached='false')"
            yield Finding("cached-device", message, map_.where)


def shared_control(graph: AuthorityGraph) -> Iterator[Finding]:
    """A TCB cap of a protection domain that is no child, which makes its holder its master."""
    for pd in graph.system.protection_domains:
        for mapping in pd.cap_mappings:
            stranger = mapping.pd != pd.name and graph.system.pd(mapping.pd).parent != pd.name
            if mapping.kind is CapKind.TCB and stranger:
                message = f"'{pd.name}' holds the TCB of '{mapping.pd}', which is not its child"
                yield Finding("shared-control", message, mapping.where)


def never_scheduled(graph: AuthorityGraph) -> Iterator[Finding]:
    """Domains that the schedule leaves out, with what is in them."""
    system = graph.system
    if system.schedule is None:
        return
    entries = [entry for entry in system.schedule.entries if isinstance(entry, ScheduleEntry)]
    scheduled = {entry.domain for entry in entries}
    used = {pd.domain for pd in system.protection_domains}
    for domain in system.domains:
        if domain.name in used and domain.name not in scheduled:
            message = f"the schedule never runs the domain '{domain.name}'"
            yield Finding("never-scheduled", message, domain.where)
        if domain.name not in used | scheduled:
            message = f"nothing is in the domain '{domain.name}'"
            yield Finding("unused-domain", message, domain.where)


def foreign_cnode(graph: AuthorityGraph) -> Iterator[Finding]:
    """A grant of another's CNode, which makes its holder master of all caps in it."""
    for grant in graph.grants:
        if grant.kind is GrantKind.CNODE and grant.pd != grant.of:
            message = f"'{grant.pd}' holds the CNode of '{grant.of}', and so every cap in it"
            yield Finding("foreign-cnode", message, grant.where)


def interception(graph: AuthorityGraph) -> Iterator[Finding]:
    """A grant to receive what is meant for another."""
    for grant in graph.grants:
        if grant.kind in _MESSAGES and grant.rights & rt.READ and grant.pd != grant.of:
            message = f"'{grant.pd}' can receive what is sent to the {grant.kind.value} of '{grant.of}'"
            yield Finding("interception", message + " (rights W only sends)", grant.where)


def free_badge(graph: AuthorityGraph) -> Iterator[Finding]:
    """A grant without a badge to one who can mint, and so pass for any other who calls or notifies."""
    minters = {edge.subject for edge in graph.edges if edge.right is Right.CSPACE}
    for grant in graph.grants:
        holder, object_ = Node(grant.pd, NodeKind.PD), Node(grant.of, NodeKind.PD)
        if holder not in minters or grant.badge or holder == object_ or not grant.rights & rt.WRITE:
            continue
        right = _MESSAGES.get(grant.kind)
        others = [edge for edge in graph.edges if edge.object == object_ and edge.right is right]
        victims = sorted({edge.subject.name for edge in others} - {grant.pd})
        if victims:
            message = f"'{grant.pd}' can choose its badge and pass for {', '.join(victims)} before '{grant.of}'"
            yield Finding("free-badge", message, grant.where)


def forged_badge(graph: AuthorityGraph) -> Iterator[Finding]:
    """A grant of a cap whose badge the receiver takes for a call on one of its channels, or for a child's fault."""
    for grant in graph.grants:
        means = meaning(grant.badge) if grant.kind is GrantKind.ENDPOINT and grant.rights & rt.WRITE else ""
        if means and grant.pd != grant.of:
            message = f"'{grant.of}' takes what '{grant.pd}' sends in slot {grant.slot} for {means}"
            yield Finding("forged-badge", message, grant.where)


def foreign_frame(graph: AuthorityGraph) -> Iterator[Finding]:
    """A grant of memory that others map."""
    for grant in graph.grants:
        if grant.kind is GrantKind.FRAME:
            users = sorted({name for name, map_ in _maps(graph) if map_.region == grant.of} - {grant.pd})
            if users:
                message = f"'{grant.pd}' holds a frame of '{grant.of}', which is mapped by {', '.join(users)}"
                yield Finding("foreign-frame", message, grant.where)


CHECKS: tuple[Callable[[AuthorityGraph], Iterator[Finding]], ...] = (
    accepted_in_silence,
    write_and_execute,
    useless_maps,
    unused_regions,
    unused_channels,
    unreachable_passive,
    no_budget,
    unexpected_sharing,
    cached_devices,
    shared_control,
    never_scheduled,
    foreign_cnode,
    forged_badge,
    interception,
    free_badge,
    foreign_frame,
)


def findings(graph: AuthorityGraph) -> tuple[Finding, ...]:
    """All findings, in file order."""
    found = (finding for check in CHECKS for finding in check(graph))
    return tuple(sorted(found, key=lambda finding: (finding.where, finding.rule)))
