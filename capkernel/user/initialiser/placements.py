"""Which caps a system's domains hold, and where: the plan as a table. Whatever it lists is there again after a rebuild.

| thing                                     | lasts                             |
|-------------------------------------------|-----------------------------------|
| endpoint, notification, reply, irq handler | as long as the system            |
| frame, untyped, monitor and its notification | as long as the system          |
| slots that last, ASID pool, time          | as long as the system             |
| sched_control                             | as long as the system             |
| TCB, scheduling context, VSpace, CNode    | for one life of the domain        |

Every cap carries just the rights that the description means: a channel's caps can send, not receive.
"""

from collections.abc import Iterator, Mapping
from enum import Enum

from attrs import evolve, frozen

from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_BITS
from capkernel.system.description import CapKind, LineIrq
from capkernel.system.grants import Grant, GrantKind
from capkernel.user.initialiser.footprint import OWN
from capkernel.user.initialiser.plan import Plan
from capkernel.user.loop import (
    BASE_ENDPOINT_CAP,
    BASE_IRQ_CAP,
    BASE_OUTPUT_NOTIFICATION_CAP,
    BASE_TCB_CAP,
    ENDPOINT_BADGE,
    INPUT_CAP,
    MONITOR_EP,
    PD_CNODE_BITS,
    REPLY_CAP,
    ROOT_CNODE_BITS,
)

CALL_RIGHTS = rt.WRITE | rt.GRANT_REPLY
MONITOR_BADGE = 1 << 63
"""In the badge of the caps by which the monitor gets faults."""
LIFECYCLE_BADGE = 1 << 62
"""In the badge of lifecycle caps. With neither of the two the monitor was signalled, a bit for each passive domain."""
PD_GUARD_SIZE = WORD_BITS - ROOT_CNODE_BITS - PD_CNODE_BITS


class Thing(Enum):
    """What a cap is to."""

    ENDPOINT = "endpoint"
    NOTIFICATION = "notification"
    REPLY = "reply"
    IRQ_HANDLER = "irq handler"
    FRAME = "frame"
    UNTYPED = "untyped"
    SLOTS = "slots that last"
    ASID_POOL = "ASID pool"
    TIME = "time"
    SCHED_CONTROL = "sched_control"
    MONITOR = "monitor"
    READY = "monitor's notification"
    TCB = "tcb"
    SCHED_CONTEXT = "scheduling context"
    VSPACE = "vspace"
    CNODE = "cnode"


MORTAL = frozenset((Thing.TCB, Thing.SCHED_CONTEXT, Thing.VSPACE, Thing.CNODE))
"""Things that end with the life of their domain."""


@frozen
class Source:
    """A thing of a domain (a frame: of a region). ``number`` tells those apart of which it has several."""

    thing: Thing
    of: str = ""
    number: int = 0


@frozen(kw_only=True)
class Placement:
    """A cap in ``slot`` of the holder's own CNode, or its root CNode. Without a badge it is a plain copy."""

    holder: str
    slot: int
    source: Source
    rights: int = rt.ALL
    badge: int | None = None
    in_root: bool = False


def ready_badges(plan: Plan) -> dict[str, int]:
    """Of the caps by which passive domains say that they are about to wait: a bit each, by name.

    They suffice: there are at most 63 domains, and not all are passive.
    """
    passive = [spec.name for spec in plan.system.protection_domains if spec.passive]
    return {name: 1 << bit for bit, name in enumerate(passive)}


def monitor_badge(index: int) -> int:
    """Of the cap by which faults of domain number ``index`` come to the monitor."""
    return MONITOR_BADGE | index + 1


def lifecycle_badge(index: int) -> int:
    """Of the caps that rule the lives of domain number ``index``."""
    return LIFECYCLE_BADGE | index + 1


def placements(plan: Plan) -> tuple[Placement, ...]:
    """All caps that the initial task puts into the CNodes of domains."""
    return (*_own(plan), *_channels(plan), *_shared(plan), *_granted_by(plan))


def _own(plan: Plan) -> Iterator[Placement]:
    """What a domain has of itself: its CNode in the root CNode, what it receives from, its interrupts, its children."""
    ready = ready_badges(plan)
    for spec in plan.system.protection_domains:
        name = spec.name
        own = Source(Thing.CNODE, name, OWN)
        yield Placement(holder=name, slot=0, source=own, badge=PD_GUARD_SIZE, in_root=True)
        thing = Thing.ENDPOINT if plan.has_endpoint(name) else Thing.NOTIFICATION
        yield Placement(holder=name, slot=INPUT_CAP, source=Source(thing, name), rights=rt.READ)
        yield Placement(holder=name, slot=REPLY_CAP, source=Source(Thing.REPLY, name, REPLY_CAP))
        for irq in spec.irqs:
            if isinstance(irq, LineIrq):
                handler = Source(Thing.IRQ_HANDLER, name, irq.id)
                yield Placement(holder=name, slot=BASE_IRQ_CAP + irq.id, source=handler)
        if spec.passive:
            yield Placement(
                holder=name, slot=MONITOR_EP, source=Source(Thing.READY), badge=ready[name], rights=rt.WRITE
            )
        if spec.parent is not None and spec.child_id is not None:
            yield Placement(holder=spec.parent, slot=BASE_TCB_CAP + spec.child_id, source=Source(Thing.TCB, name))


def _channels(plan: Plan) -> Iterator[Placement]:
    """For each direction that a channel allows, a cap that can only send, badged with the other end's number."""
    for channel in plan.system.channels:
        for own, other in channel.directions():
            if own.notify:
                slot, target = BASE_OUTPUT_NOTIFICATION_CAP + own.id, Source(Thing.NOTIFICATION, other.pd)
                yield Placement(holder=own.pd, slot=slot, source=target, badge=1 << other.id, rights=rt.WRITE)
            if own.pp:
                slot, target = BASE_ENDPOINT_CAP + own.id, Source(Thing.ENDPOINT, other.pd)
                badge = ENDPOINT_BADGE | other.id
                yield Placement(holder=own.pd, slot=slot, source=target, badge=badge, rights=CALL_RIGHTS)


_SHARED = {CapKind.TCB: Thing.TCB, CapKind.SC: Thing.SCHED_CONTEXT, CapKind.VSPACE: Thing.VSPACE}


def _shared(plan: Plan) -> Iterator[Placement]:
    """Caps to other domains' TCB, scheduling context or VSpace, in slots of the root CNode."""
    for spec in plan.system.protection_domains:
        for mapping in spec.cap_mappings:
            source = Source(_SHARED[mapping.kind], mapping.pd)
            yield Placement(holder=spec.name, slot=mapping.slot, source=source, in_root=True)


def _granted_by(plan: Plan) -> Iterator[Placement]:
    """Caps beyond Microkit's format."""
    numbers = {spec.name: index for index, spec in enumerate(plan.system.protection_domains)}
    for grant in plan.grants:
        yield from _granted(grant, numbers)


def _granted(grant: Grant, numbers: Mapping[str, int]) -> Iterator[Placement]:
    """A cap in a slot of the holder's own CNode; new slots stand in its root CNode as well."""

    def placed(source: Source, badge: int | None = None) -> Placement:
        return Placement(holder=grant.pd, slot=grant.slot, source=source, badge=badge, rights=grant.rights)

    match grant.kind:
        case GrantKind.ENDPOINT:
            yield placed(Source(Thing.ENDPOINT, grant.of), grant.badge or None)
        case GrantKind.NOTIFICATION:
            yield placed(Source(Thing.NOTIFICATION, grant.of), grant.badge or None)
        case GrantKind.CNODE:
            yield placed(Source(Thing.CNODE, grant.of, OWN), WORD_BITS - PD_CNODE_BITS)
        case GrantKind.FRAME:
            yield placed(Source(Thing.FRAME, grant.of))
        case GrantKind.UNTYPED:
            yield placed(Source(Thing.UNTYPED, grant.pd, grant.slot))
        case GrantKind.REPLY:
            yield placed(Source(Thing.REPLY, grant.pd, grant.slot))
        case GrantKind.VSPACE:
            yield placed(Source(Thing.VSPACE, grant.pd))
        case GrantKind.ASID_POOL:
            yield placed(Source(Thing.ASID_POOL, grant.pd, grant.slot))
        case GrantKind.TIME:
            yield placed(Source(Thing.TIME, grant.pd, grant.slot))
        case GrantKind.SCHED_CONTROL:
            yield placed(Source(Thing.SCHED_CONTROL))
        case GrantKind.LIFECYCLE:
            badge = lifecycle_badge(numbers[grant.of])
            yield evolve(placed(Source(Thing.MONITOR), badge), rights=CALL_RIGHTS)
        case GrantKind.SLOTS:
            slots = Source(Thing.SLOTS if grant.lasts else Thing.CNODE, grant.pd, grant.slot)
            guard = WORD_BITS - ROOT_CNODE_BITS - grant.size_bits
            yield Placement(holder=grant.pd, slot=grant.at, source=slots, badge=guard, in_root=True)
            yield placed(slots, WORD_BITS - grant.size_bits)
