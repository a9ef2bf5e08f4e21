"""The caps that a server has given out, written down for its next life, or for the program after it.

What a cap is to its client stays: its number in the badge, its session, what it is below. To which object it leads is
said by a place in a row of objects; what these are to be made from is the server's own matter. A cap that was closed is
not written down, and leads to nothing afterwards, too.
"""

from collections.abc import Sequence

from attrs import frozen

from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service


@frozen
class GivenCap:
    """A cap: its number, its session, the number of what it is below, the place of the object to which it leads."""

    number: int
    session: int
    parent: int
    is_derived: bool
    servant: int


def given_caps(service: Service) -> tuple[list[Interface], list[GivenCap]]:
    """What a server has given out: the objects, and the caps to them, each after what it is below.

    Its sessions' own caps are not part of it: the next program has them, too.
    """
    entries = sorted((entry for entry in service.entries() if entry.number), key=lambda entry: entry.number)
    servants = list({id(entry.servant): entry.servant for entry in entries}.values())
    places = {id(servant): place for place, servant in enumerate(servants)}
    caps = [
        GivenCap(
            entry.number, entry.session, entry.parent.number if entry.parent else 0, entry.is_derived,
            places[id(entry.servant)],
        )
        for entry in entries
    ]  # fmt: skip
    return servants, caps


def restore_given(service: Service, servants: Sequence[Interface], caps: Sequence[GivenCap]) -> None:
    """Let the caps lead where they led. Raises ValueError if no former life can have written this down."""
    for cap in caps:
        if not 0 <= cap.servant < len(servants):
            raise ValueError(f"cap {cap.number} leads to object {cap.servant}, and there are {len(servants)}")
        service.restore(servants[cap.servant], cap.session, cap.number, cap.parent, is_derived=cap.is_derived)
