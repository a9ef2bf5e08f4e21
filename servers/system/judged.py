"""The tables of the servers here and of those beside them, judged before the boot (``capkernel.user.tables``).

Each reads the table as its program does; what that raises, a ValueError, says what is wrong.
"""

from collections.abc import Callable, Iterable
from functools import partial

from capkernel.user.channel_names import read_channel_names
from capkernel.user.tables import Given, Wrong
from servers.net.policy import read_policy
from servers.system.authors import read_authors
from servers.system.manifest import read_manifest
from servers.system.quotas import read_quotas


def _read(read: Callable[[str], object], given: Given) -> Iterable[Wrong]:
    read(given.text)
    return ()


def _names(table: str) -> Callable[[Given], Iterable[Wrong]]:
    return partial(_read, lambda text: read_channel_names(text, table))


manifest = partial(_read, read_manifest)
quotas = partial(_read, read_quotas)
policy = partial(_read, read_policy)
authors = partial(_read, read_authors)
log = _names("log")
usage = _names("usage")
files = _names("files")
mounts = _names("mounts")
