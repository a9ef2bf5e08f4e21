"""A file system that nobody can read: whoever asks is told why, and the server lives."""

from typing import Any, NoReturn

from capkernel.protocols.failures import Failure
from capkernel.protocols.files import Directory
from capkernel.protocols.interface import operations_of


def unreadable(failure: Failure) -> Directory:
    """A directory in which every operation raises this."""

    async def refuse(self: Directory, *arguments: Any, **named: Any) -> NoReturn:
        raise failure

    names = [each.name for each in operations_of(Directory).values()]
    directory: Directory = type("Unreadable", (Directory,), dict.fromkeys(names, refuse))()
    return directory
