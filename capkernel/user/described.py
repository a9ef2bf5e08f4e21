"""What a description says of its domains, for who judges before the boot whether their programs can work so.

A package offers a judge of that as an entry point of the group ``capkernel.connections``: a function from all domains
to what is ``Misfit``. It knows programs that are installed; what others need nobody knows.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import frozen

CONNECTIONS: Final = "capkernel.connections"
"""The group of entry points."""


@frozen
class Way:
    """Where a channel leads: to a domain, as which channel of it. ``asks`` says whether who has it may call there,
    ``is_asked`` whether who is there may call him.
    """

    domain: str
    channel: int
    asks: bool = False
    is_asked: bool = False


@frozen
class DescribedDomain:
    """A domain as it is described.

    ``programs`` are the names of those that it can have, its own first; empty where no installed program is meant.
    ``variables`` are those that are set, ``tables`` the texts that are put into its memory, by the variable. ``ways``
    are its channels, ``asks`` the slots of caps by which it may call others (None: in a way that is no channel's).
    ``lifecycles`` are the domains that it may have rebuilt, by the slot; ``children`` those whose faults come to it, by
    their number.
    """

    name: str
    programs: tuple[str, ...]
    variables: frozenset[str]
    tables: Mapping[str, str]
    interrupts: frozenset[int]
    ways: Mapping[int, Way]
    asks: Mapping[int, Way | None]
    lifecycles: Mapping[int, str]
    children: Mapping[int, str]


@frozen
class Misfit:
    """Something that is wrong with a domain, and (``hint``) what would be right: at one of its channels, or at a slot
    of its caps, or with all of it.
    """

    domain: str
    message: str
    hint: str = ""
    channel: int | None = None
    slot: int | None = None


ConnectionJudge = Callable[[Mapping[str, DescribedDomain]], Iterable[Misfit]]
