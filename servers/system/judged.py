"""The tables of the servers here and of those beside them, judged before the boot (``capkernel.user.tables``).

Each reads the table as its program does; what that raises, a ValueError, says what is wrong.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from capkernel.user.channel_names import read_channel_names
from capkernel.user.tables import Given, Wrong, wrong_by
from servers.net.policy import read_policy
from servers.system.authors import read_authors
from servers.system.manifest import FIRST_LIFECYCLE, ManifestError, Watched, read_manifest
from servers.system.quotas import QuotaError, read_quotas

MEMORY_SERVER, PROCESS_SERVER = "memory_server", "process_server"


def _read(read: Callable[[str], object], given: Given) -> Iterable[Wrong]:
    read(given.text)
    return ()


def _names(table: str) -> Callable[[Given], Iterable[Wrong]]:
    return partial(_read, lambda text: read_channel_names(text, table))


def manifest(given: Given) -> Iterable[Wrong]:
    """What is wrong with a manifest, by itself, and beside the description of whom it is about."""
    for number, watched in enumerate(read_manifest(given.text), 1):
        for key, what, hint in _unwatchable(given, watched):
            yield wrong_by(given.text, ManifestError(f"service {number}: {what}", ("service", number, key), hint))


def _unwatchable(given: Given, watched: Watched) -> Iterator[tuple[str, str, str]]:
    """Which of its keys says what is not so, in words, and what would be right."""
    if given.domain not in given.system:
        return
    domain = given.system[given.domain]
    name = domain.lifecycles.get(watched.lifecycle)
    if name is None:
        children = {slot - FIRST_LIFECYCLE: name for slot, name in domain.lifecycles.items() if slot >= FIRST_LIFECYCLE}
        there = "; ".join(f"{child}, {name}" for child, name in sorted(children.items())) or "none"
        what = f"child {watched.child} is nobody whose lifecycle cap is in slot {watched.lifecycle}"
        yield "child", what, f"there is {there}"
        return
    child = given.system[name]
    if watched.alternatives > len(child.programs) - 1:
        what = f"alternatives is {watched.alternatives}; the description gives {name} {len(child.programs) - 1}"
        yield "alternatives", what, f'as in <?capkernel alternative pd="{name}" program="..."?>'
    for key, channel in (("patience", watched.channel), ("update_channel", watched.update_channel)):
        if channel is None or (key == "patience" and not watched.patience) or watched.beats or watched.stands_in:
            continue
        way = domain.ways.get(channel)
        if way is None or way.domain != name:
            leads = f"leads to {way.domain}" if way is not None else "leads nowhere"
            yield key, f"channel {channel}, by which {name} would be asked for it, {leads}", f"a channel to {name}"


def quotas(given: Given) -> Iterable[Wrong]:
    """What is wrong with quotas: by themselves, and if launchers are promised more than the process server has."""
    wanted = read_quotas(given.text)
    for way in given.system[given.domain].ways.values() if given.domain in given.system else ():
        if way.asks and MEMORY_SERVER in given.system[way.domain].programs and way.channel in wanted.accounts:
            promised, has = sum(each.pages for each in wanted.launchers.values()), wanted.accounts[way.channel]
            if PROCESS_SERVER in given.system[given.domain].programs and promised > has:
                what = f"launchers have {promised} pages, and the process server's account has {has}"
                yield wrong_by(given.text, QuotaError(what, ("processes", "launchers")))


policy = partial(_read, read_policy)
authors = partial(_read, read_authors)
log = _names("log")
usage = _names("usage")
files = _names("files")
mounts = _names("mounts")
