"""Nodes: files and directories that have owners, and on which programs can be put that serve them: translators.

Whoever looks up a node with a translator gets a cap to the translator, and no longer has to do with the file server.
The file server never calls a translator, so one that does not answer holds up nobody but those who asked it.

Source: the Hurd's ``fs.defs`` and ``io.defs`` (``file_set_translator``, ``dir_lookup`` with ``O_NOTRANS``,
``io_restrict_auth``, ``io_reauthenticate``, ``file_chown``, ``file_chmod``).
"""

from abc import abstractmethod
from typing import Final

from attrs import frozen

from capkernel.protocols.files import Directory, File
from capkernel.protocols.hurd_auth import Ids
from capkernel.protocols.interface import Cap, Interface, operation

FIRST_SESSION: Final = 64
RIGHTS_BITS: Final = 2
MAX_COMMAND: Final = 240
"""Bytes of a command line in UTF-8, words joined by one space."""


def translator_session(session: int, rights: int) -> int:
    """The number in the badge by which a file server lets its client in ``session`` reach a translator, with rights."""
    return FIRST_SESSION + (session << RIGHTS_BITS) + rights


def rights_of(translator_session: int) -> int:
    """The rights in such a number."""
    return translator_session - FIRST_SESSION & (1 << RIGHTS_BITS) - 1


@frozen
class Ownership:
    """Whose a node is. ``mode`` is as in Unix, of which the bits to read and to write count: owner, group, others."""

    owner: int
    group: int
    mode: int


@frozen
class Translation:
    """What is set on a node: the command line of its passive translator (none: no words), and whether one is active."""

    command: list[str]
    is_active: bool


class NodeFile(File, number=111):
    """A file, opened by somebody: with rights that were checked when it was opened, and the ids that they came from."""

    @operation(20)
    @abstractmethod
    async def restrict_ids(self, ids: Ids) -> "NodeFile":
        """A cap with those ids that it has of these, and with those of its rights that they would be granted now.

        So who gives ids up gives up what they allow. The cap that was asked stays as it was.
        """


class Nodes(Directory, number=110):
    """A directory, used by somebody: what is opened below it, its ids decide.

    A name that has a translator leads to that: ``open`` and ``directory`` return a cap to it. ``info`` and ``list``
    speak of the node below.
    """

    @operation(20)
    @abstractmethod
    async def ids(self) -> Ids:
        """As whom this cap's holder acts."""

    @operation(21)
    @abstractmethod
    async def reauthenticate(self, claim: Cap) -> None:
        """Leave a cap to this directory with the ids of a ``Claim`` where their owner collects it. What ``Auth.accept``
        raises; Unsupported if this server trusts no auth server.
        """

    @operation(22)
    @abstractmethod
    async def restrict_ids(self, ids: Ids) -> "Nodes":
        """As ``NodeFile.restrict_ids``."""

    @operation(23)
    @abstractmethod
    async def ownership(self, name: str) -> Ownership:
        """Whose a node is; an empty name means this directory."""

    @operation(24)
    @abstractmethod
    async def set_ownership(self, name: str, ownership: Ownership) -> None:
        """Change it, as its owner; only uid 0 may give it to others. What is open stays open. NotPermitted."""

    @operation(25)
    @abstractmethod
    async def translation(self, name: str) -> Translation:
        """What is set on a node."""

    @operation(26)
    @abstractmethod
    async def set_passive(self, name: str, command: list[str]) -> None:
        """Keep the command line of a translator with the node, as its owner: it is started, with its owner's ids, when
        somebody looks the node up and none is active. No words: none. One that runs is stopped. NotPermitted.
        """

    @operation(27)
    @abstractmethod
    async def attach(self, name: str, translator: Cap) -> None:
        """Put an active translator on a node, as its owner: ``translator`` is an endpoint, without a badge. Each
        client gets it with a badge (``translator_session``). Busy if there is one; NotPermitted.
        """

    @operation(28)
    @abstractmethod
    async def detach(self, name: str) -> None:
        """Take the active translator away, as the node's owner; who has it open goes on with it. A passive one is
        stopped, and started again at the next look-up. NotFound if none is active; NotPermitted.
        """

    @operation(29)
    @abstractmethod
    async def underlying(self, name: str, rights: int) -> NodeFile:
        """The file below a translator, or without one."""

    @operation(30)
    @abstractmethod
    async def underlying_directory(self, name: str, rights: int) -> "Nodes":
        """The directory below a translator, or without one."""


@frozen
class Usage:
    """What a user's translators take now: bytes for processes and for endpoints, processes, and the processor time that
    those that run have used, in µs."""

    memory: int
    objects: int
    processes: int
    cpu_us: int


class TranslatorStarter(Interface, number=115):
    """Who runs translators: for a file server those of any user, for a user his own.

    ``place`` is the client's own number for a translator: a file server's for a node, a user's for whatever he likes.
    """

    @operation(1)
    @abstractmethod
    async def start(self, place: int, owner: int, name: str, command: list[str], at: Nodes) -> Cap:
        """Start a translator with its owner's ids and at his expense; returns its endpoint. ``name`` is what its node
        is called in the directory ``at``. AlreadyExists if one runs at that place; QuotaExceeded; NotFound if there is
        no such program; NotPermitted if the owner has nothing to start it with, or is not the user who asks.
        """

    @operation(2)
    @abstractmethod
    async def running(self, place: int) -> Cap:
        """The endpoint of the translator of a place. NotFound if none runs."""

    @operation(3)
    @abstractmethod
    async def stop(self, place: int) -> None:
        """End it, if it runs; place 0 is all of this client's."""

    @operation(4)
    @abstractmethod
    async def usage(self, owner: int) -> Usage:
        """What an owner's translators take. NotPermitted."""

    @operation(5)
    @abstractmethod
    async def root(self, root: Nodes) -> None:
        """What the translators of this client see as the root, from the next one on. Whoever gives it takes it back."""
