"""Ports, rights in tasks' spaces and in messages, messages in queues. What may happen to them, ``ports`` says."""

from collections import deque

from attrs import define, field

from capkernel.protocols.failures import Gone, NotFound, QuotaExceeded, WrongKind
from capkernel.protocols.mach_ports import Kind, PortStatus, RightInfo
from capkernel.user.tasks import Condition
from servers.mach.store import BLOCK, Purse

MAX_NAMES = 128
"""Of a task."""


@define(eq=False)
class Port:
    """A port: its queue, who may receive from it, how many may send.

    ``owner`` pays for its messages. ``held`` is its receive right in a space, or None while that is in a message,
    ``within``. ``sending`` are those who wait to send, the first first, and ``receiving`` those who wait to receive.
    """

    number: int
    limit: int
    owner: Purse
    held: "Held | None" = None
    within: "Port | None" = None
    queue: "deque[Letter]" = field(factory=deque)
    senders: int = 0
    send_onces: int = 0
    made: int = 0
    queued_ever: int = 0
    charged: int = 0
    is_dead: bool = False
    no_senders: "tuple[Carried, int] | None" = None
    deaths: "dict[Held, Carried]" = field(factory=dict)
    """Send rights whose tasks want to know of the port's death, each with the right for saying so."""
    is_watched: bool = False
    port_set: "Held | None" = None
    sending: list[object] = field(factory=list)
    receiving: list[object] = field(factory=list)
    changed: Condition = field(factory=Condition)

    def charge(self, blocks: int) -> None:
        """Let the owner pay. Raises QuotaExceeded."""
        self.owner.charge(blocks)
        self.charged += blocks

    def release(self, blocks: int) -> None:
        """Give some of it back."""
        self.owner.release(blocks)
        self.charged -= blocks

    @property
    def status(self) -> PortStatus:
        """How it stands."""
        return PortStatus(
            len(self.queue), self.limit, self.senders, self.send_onces, self.made, self.charged * BLOCK
        )  # fmt: skip


@define(eq=False)
class Carried:
    """A right that is in no task's space: in a message, or kept for a notification."""

    kind: Kind
    port: Port


@define(eq=False)
class Held:
    """A right in a task's space, under a name. ``members`` are those of a port set."""

    space: "Space"
    name: int
    kind: Kind
    port: Port
    members: "list[Held]" = field(factory=list)

    @property
    def is_held(self) -> bool:
        """Whether the task still has it."""
        return self.space.rights.get(self.name) is self

    @property
    def info(self) -> RightInfo:
        """As its task sees it: a right to send to a port that died is a dead name."""
        is_dead = self.port.is_dead and self.kind in (Kind.SEND, Kind.SEND_ONCE)
        return RightInfo(self.name, Kind.DEAD_NAME if is_dead else self.kind, self.port.number)


@define(eq=False)
class Letter:
    """A message in a queue; its data is in ``blocks`` of the store."""

    id: int
    size: int = 0
    blocks: list[int] = field(factory=list)
    subject: int = 0
    sequence: int = 0
    order: int = 0
    reply: Carried | None = None
    rights: list[Carried] = field(factory=list)

    @property
    def carried(self) -> list[Carried]:
        """All rights in it."""
        return [*([self.reply] if self.reply else []), *self.rights]


@define(eq=False)
class Space:
    """A task's rights by name. ``number`` is the task's channel, ``purse`` pays for its ports' messages."""

    number: int
    purse: Purse
    rights: dict[int, Held] = field(factory=dict)
    is_ended: bool = False
    next_name: int = 1

    def add(self, kind: Kind, port: Port) -> Held:
        """A right under a new name. Raises QuotaExceeded."""
        self.check_names(1)
        held = Held(self, self.next_name, kind, port)
        self.next_name += 1
        self.rights[held.name] = held
        return held

    def check_names(self, count: int) -> None:
        """Raises QuotaExceeded if the task cannot have so many more; Gone if it has ended."""
        if self.is_ended:
            raise Gone("the task has ended")
        if len(self.rights) + count > MAX_NAMES:
            raise QuotaExceeded(f"the task has {len(self.rights)} rights; {MAX_NAMES} is the most")

    def find(self, name: int, kind: Kind) -> Held:
        """The right of a name. Raises NotFound, WrongKind."""
        held = self.rights.get(name)
        if held is None:
            raise NotFound(f"the task has no right {name} (any more)")
        if held.kind is not kind:
            raise WrongKind(f"{name} is a {held.kind.name} right")
        return held
