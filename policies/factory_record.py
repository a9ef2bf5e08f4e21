"""The factories and the caps to them as they are written down, and as the next life makes them again."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from attrs import frozen

from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from policies.yard import Confined, Parts, Yard


class What(IntEnum):
    """What an object is: where a client has factories made, one that is being built, one that is sealed."""

    FACTORIES, WORKSHOP, FACTORY = range(3)


@frozen
class Named:
    """A component: its name, and its slot or the place of its parts in the record."""

    name: str
    at: int


@frozen
class KeptParts:
    """What is put into a factory; factories in it come before it."""

    owner: int
    program: int
    files: list[Named]
    holes: list[Named]
    factories: list[Named]
    is_sealed: bool


@frozen
class KeptObject:
    """An object: of which parts, or, of the place where factories are made, of which session."""

    what: What
    of: int


@frozen
class KeptProcess:
    """A process that has factories as components: its session, and its number."""

    session: int
    process: int


@frozen
class Kept:
    """All of it."""

    parts: list[KeptParts]
    objects: list[KeptObject]
    caps: list[GivenCap]
    processes: list[KeptProcess]


def written(service: Service, yard: Yard) -> Kept:
    """What a service has given out, of the parts in a yard, and to whom."""
    given, caps = given_caps(service)
    servants: list[Any] = list(given)
    parts = yard.alive
    at = {id(each): place for place, each in enumerate(parts)}
    kept = [
        KeptParts(
            each.owner, each.program, _named(each.files), _named(each.holes),
            [Named(name, at[id(below)]) for name, below in each.factories.items()], each.factory is not None,
        )
        for each in parts
    ]  # fmt: skip
    objects = [
        KeptObject(each.what, each.session if each.what is What.FACTORIES else at[id(each.parts)]) for each in servants
    ]
    return Kept(kept, objects, caps, [KeptProcess(session, each.process) for session, each in yard.confined.items()])


def processes(kept: Kept) -> dict[int, Confined]:
    """Those that have factories as components, by session."""
    return {each.session: Confined(each.process) for each in kept.processes}


def restored(
    kept: Kept, service: Service, root: Callable[[int], Interface], workshop: Callable[[Parts], Interface],
    factory: Callable[[Parts], Interface],
) -> None:  # fmt: skip
    """Let the caps lead where they led, to objects that the last three make of a session or of parts.

    Raises ValueError if no former life can have written this down.
    """
    parts: list[Parts] = []
    for each in kept.parts:
        found = Parts(each.owner, each.program, _by_name(each.files), _by_name(each.holes))
        found.factories = {named.name: parts[named.at] for named in each.factories}
        found.factory = factory(found) if each.is_sealed else None
        parts.append(found)
    servants: list[Interface] = []
    for object_ in kept.objects:
        if object_.what is What.FACTORIES:
            servants.append(root(object_.of))
        elif object_.what is What.WORKSHOP:
            servants.append(workshop(parts[object_.of]))
        else:
            servants.append(parts[object_.of].factory or factory(parts[object_.of]))
    restore_given(service, servants, kept.caps)


def _named(slots: dict[str, int]) -> list[Named]:
    return [Named(name, slot) for name, slot in slots.items()]


def _by_name(named: list[Named]) -> dict[str, int]:
    return {each.name: each.at for each in named}
