"""A file server with access control lists: it knows each client by the channel, and each file by its name."""

import tomllib
from typing import Any, Final

from capkernel.protocols.compiling import AclFiles
from capkernel.protocols.failures import NotFound, NotPermitted, TooLarge
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.channel_names import read_channel_names
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

names: int = 0
names_size: int = 0x1000

MAX_BYTES: Final = 512


class AclServant(AclFiles):
    """The files, for one subject."""

    def __init__(self, files: dict[str, bytes], lists: dict[str, list[str]], subject: str) -> None:
        self.files = files
        self.lists = lists
        self.subject = subject

    async def read(self, name: str) -> bytes:
        """A file."""
        self._check(name)
        return self.files.get(name, b"")

    async def write(self, name: str, data: bytes) -> None:
        """Another content."""
        self._check(name)
        if len(data) > MAX_BYTES:
            raise TooLarge(f"a file has at most {MAX_BYTES} bytes, not {len(data)}")
        self.files[name] = data

    def _check(self, name: str) -> None:
        if name not in self.lists:
            raise NotFound(f"there is no {name!r}")
        if self.subject not in self.lists[name]:
            raise NotPermitted(f"{self.subject} is not on the list of {name}")


class Program:
    """The server. In ``names`` the table ``subjects`` says who asks, the table ``lists`` who may use what."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        text = (await pd.read(names, names_size)).rstrip(b"\0").decode()
        files: dict[str, bytes] = {}
        lists: dict[str, list[str]] = tomllib.loads(text)["lists"]
        subjects = read_channel_names(text, "subjects")
        roots: dict[int, Interface] = {ch: AclServant(files, lists, name) for ch, name in subjects.items()}
        self.service = Service(pd, roots=roots.get)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
