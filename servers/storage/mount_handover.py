"""What is mounted, and the caps to the root that were given out, written down for the mount server after this one.

A directory that is mounted from the start is known by its number in the description, one that a client has mounted by
the lasting slot in which its cap is.
"""

from collections.abc import Mapping

from attrs import frozen

from capkernel.protocols.client import Connection, Stub
from capkernel.protocols.files import READ_WRITE, Directory, checked_name
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.service import Service
from servers.storage.mount_table import MountsServant, MountTable


@frozen
class KeptMount:
    """A name, and what is mounted there: a number from the start, or a slot; the other is -1."""

    name: str
    number: int
    slot: int


@frozen
class KeptMounts:
    """Everything. ``rights`` are those of the objects to which the caps lead."""

    mounts: list[KeptMount]
    rights: list[int]
    caps: list[GivenCap]


def keep_mounts(table: MountTable, first: Mapping[int, Directory], service: Service) -> KeptMounts:
    """What is mounted and given out; ``first`` is what is mounted from the start, by number."""
    mounts = [_mount(name, directory, table, first) for name, directory in table.mounts.items()]
    servants, caps = given_caps(service)
    return KeptMounts(mounts, [_rights(servant) for servant in servants], caps)


def _mount(name: str, directory: Directory, table: MountTable, first: Mapping[int, Directory]) -> KeptMount:
    number = next((number for number, known in first.items() if known is directory), -1)
    slot = table.lasting.slot_of(directory.cap) if table.lasting and isinstance(directory, Stub) else None
    if number < 0 and slot is None:
        raise ValueError(f"the cap of {name} is in no slot that lasts")
    return KeptMount(name, number, -1 if slot is None else slot)


def _rights(servant: object) -> int:
    if not isinstance(servant, MountsServant):
        raise TypeError(f"a mount server gives out its root, no {type(servant).__name__}")
    return servant.rights


async def restore_mounts(
    kept: KeptMounts, table: MountTable, first: Mapping[int, Directory], connection: Connection, service: Service
) -> None:
    """Mount the same, and let the caps lead where they led. Raises ValueError or a failure if no former life can have
    written this down; then the table is not to be used.
    """
    mounts: dict[str, Directory] = {}
    for each in kept.mounts:
        if checked_name(each.name) in mounts:
            raise ValueError(f"two things are mounted at {each.name}")
        if (each.number < 0) == (each.slot < 0) or (each.number >= 0 and each.number not in first):
            raise ValueError(f"nothing that is mounted is number {each.number} or in slot {each.slot}")
        if each.slot >= 0 and table.lasting is not None:
            table.lasting.claim(each.slot)
        mounts[each.name] = first[each.number] if each.number >= 0 else table.found_at(each.slot, connection)
    if any(not 0 <= rights <= READ_WRITE for rights in kept.rights):
        raise ValueError(f"caps have the rights {kept.rights}")
    table.mounts = mounts
    restore_given(service, [MountsServant(table, rights) for rights in kept.rights], kept.caps)
