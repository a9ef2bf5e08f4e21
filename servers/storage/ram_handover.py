"""All that a file server in memory has, written down for the program after it: the files, and the caps to them."""

from attrs import frozen

from capkernel.protocols.failures import NotFound
from capkernel.protocols.files import READ_WRITE, Kind, checked_name
from capkernel.protocols.service import Service
from servers.storage.handover import KeptCaps, KeptObject, keep_caps, restore_caps
from servers.storage.tree import Tree, Volume


@frozen
class KeptThing:
    """A file with its content, or a directory, which has none."""

    path: str
    kind: Kind
    content: bytes


@frozen
class KeptFiles:
    """Everything: each thing after the directory in which it is."""

    things: list[KeptThing]
    caps: KeptCaps


async def keep_files(volume: Volume, service: Service) -> KeptFiles:
    """What is in a volume, and what is open in it."""
    return KeptFiles(await _things(volume, ""), keep_caps(service))


async def _things(volume: Volume, path: str) -> list[KeptThing]:
    found: list[KeptThing] = []
    for entry in await volume.list(path):
        below = f"{path}/{entry.name}" if path else entry.name
        is_file = entry.kind is Kind.FILE
        found.append(KeptThing(below, entry.kind, await volume.read(below, 0, entry.size) if is_file else b""))
        found += [] if is_file else await _things(volume, below)
    return found


async def restore_files(kept: KeptFiles, tree: Tree, service: Service) -> None:
    """Put everything into an empty volume, and let the caps lead where they led. Raises ValueError or a failure if no
    former life can have written this down; then the volume is not to be used.
    """
    for thing in kept.things:
        await _add(thing, tree.volume)
    for each in kept.caps.objects:
        await _check(each, tree.volume)
    restore_caps(kept.caps, tree, service)


async def _add(thing: KeptThing, volume: Volume) -> None:
    above, _, name = thing.path.rpartition("/")
    checked_name(name)
    found = await volume.info(above)
    if found is None or found[0] is not Kind.DIRECTORY or await volume.info(thing.path) is not None:
        raise ValueError(f"{thing.path!r} cannot be where it is said to be")
    await volume.create(thing.path, thing.kind)
    if thing.kind is Kind.FILE:
        await volume.write(thing.path, 0, thing.content)
    elif thing.content:
        raise ValueError(f"the directory {thing.path!r} has a content")


async def _check(kept: KeptObject, volume: Volume) -> None:
    """Whether a cap can lead there."""
    if not 0 <= kept.rights <= READ_WRITE:
        raise ValueError(f"a cap has the rights {kept.rights}")
    found = None if kept.is_removed else await volume.info(kept.path)
    if not kept.is_removed and found is None:
        raise NotFound(f"a cap leads to {kept.path!r}, which is not there")
    if found is not None and found[0] is not kept.kind:
        raise ValueError(f"{kept.path!r} is no {kept.kind.value}")
