"""One tree out of several file systems: which of them is where."""

from abc import abstractmethod

from capkernel.protocols.files import Directory
from capkernel.protocols.interface import operation


class Mounts(Directory, number=6):
    """A root directory in which directories of other servers are, too. They hide what has the same name.

    What is opened below a mounted directory is a cap of that server: nobody stands between it and who uses it.
    """

    @operation(20)
    @abstractmethod
    async def mount(self, name: str, directory: Directory) -> None:
        """Put a directory of any server under a name; its rights are those of the cap that is handed over.

        AlreadyExists if one is mounted there, NotPermitted without WRITE.
        """

    @operation(21)
    @abstractmethod
    async def unmount(self, name: str) -> None:
        """Take it away; what was opened below it is closed. NotFound, NotPermitted."""

    @operation(22)
    @abstractmethod
    async def mounted(self) -> tuple[str, ...]:
        """The names of what is mounted."""
