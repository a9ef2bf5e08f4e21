"""Brokering: a client asks for a service, and a policy decides whether he gets a cap, with which rights, how long.

The *broker* holds caps to services and knows each client by the cap through which he asks. It puts the question to its
policies; if all allow, it makes an attenuated cap that can be taken back, writes down who got what from whom for what,
and hands it over as a ``Grant``. Policies may be objects in the broker or servers of their own (``Policy``).
"""

from abc import abstractmethod
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Cap, Interface, operation

READ: Final = 1
"""What is in the service may come to the subject."""
WRITE: Final = 2
"""What the subject knows may come into the service."""
ALL_RIGHTS: Final = READ | WRITE
RIGHT_NAMES: Final = {READ: "read", WRITE: "write"}


@frozen
class Question:
    """May a subject have a service with these rights, for a purpose, for so long?

    ``number`` tells grants apart, ``now_us`` is when it is asked; ``duration_us`` is 0 for "until it is given up".
    ``depth`` counts the hands through which it has gone: 0 if it comes from the broker itself.
    """

    number: int
    subject: str
    service: str
    rights: int
    purpose: str = ""
    duration_us: int = 0
    now_us: int = 0
    depth: int = 0

    @property
    def reads(self) -> bool:
        """Whether READ is wanted."""
        return bool(self.rights & READ)

    @property
    def writes(self) -> bool:
        """Whether WRITE is wanted."""
        return bool(self.rights & WRITE)


@frozen
class Verdict:
    """What a policy says, and why: a sentence for each rule that decided."""

    allowed: bool
    reasons: tuple[str, ...]


@frozen
class GrantInfo:
    """A grant: who has what from which grant (0: the broker's own cap), for what, until when (0: until it ends).

    An offer is what one wants to let another have: the other has it when he takes it.
    """

    number: int
    parent: int
    subject: str
    service: str
    rights: int
    purpose: str
    until_us: int
    is_offer: bool = False


class Grant(Interface, number=65):
    """Something that was granted. When it is dropped, it is over: the cap leads to nothing then (Gone)."""

    @operation(1)
    @abstractmethod
    async def access(self) -> Cap:
        """The cap to the service. Gone if it was taken back. If it leads to nothing because the service was started
        anew, or its holder has dropped it, it is made again. ServerDied if the service does not answer.
        """

    @operation(2)
    @abstractmethod
    async def info(self) -> GrantInfo:
        """What it is."""

    @operation(3)
    @abstractmethod
    async def delegate(self, subject: str, rights: int, purpose: str, duration_us: int) -> None:
        """Offer another subject no more than this, for no longer, counted from now. He finds it by ``Broker.grants``;
        when he takes it, it is decided as if he asked, and until then it counts for him nowhere. It ends when this
        grant does. NotPermitted with the reasons if it would be refused now; NotFound for a stranger.
        """


class Broker(Interface, number=64):
    """The way to services, for one subject. Texts are 1 to 64 bytes that can be printed, a purpose up to 96.

    A refusal is NotPermitted, with all reasons. A number that is negative is Malformed.
    """

    @operation(1)
    @abstractmethod
    async def request(self, service: str, rights: int, purpose: str, duration_us: int) -> Grant:
        """Ask for a service. NotFound if there is none of that name; Unsupported if it cannot be had with part of its
        rights; QuotaExceeded if the subject has too many grants; ServerDied if the service does not answer.
        """

    @operation(2)
    @abstractmethod
    async def explain(self, service: str, rights: int, purpose: str, duration_us: int) -> Verdict:
        """What would be answered now, and why; nothing is granted."""

    @operation(3)
    @abstractmethod
    async def services(self) -> list[str]:
        """The names of the services that there are."""

    @operation(4)
    @abstractmethod
    async def grants(self, after: int) -> list[GrantInfo]:
        """The subject's grants and what is offered to it, with numbers above ``after``, as many as fit; none when there
        are no more.
        """

    @operation(5)
    @abstractmethod
    async def take(self, number: int) -> Grant:
        """A grant of this subject's, by its number, or what is offered to it: then it is granted now, or NotPermitted
        with the reasons, and what else ``request`` answers. NotFound.
        """

    @operation(6)
    @abstractmethod
    async def approve(self, subject: str, service: str, rights: int) -> None:
        """Say that another may have it, where two must agree. NotPermitted if this one's word does not count."""


class PolicyControl(Interface, number=66):
    """The broker, for whoever answers for the policy."""

    @operation(1)
    @abstractmethod
    async def grants(self, after: int) -> list[GrantInfo]:
        """All grants with a number above ``after``, as many as fit; none when there are no more."""

    @operation(2)
    @abstractmethod
    async def take_back(self, number: int) -> int:
        """End a grant and all that was delegated from it; returns how many ended. NotFound."""

    @operation(3)
    @abstractmethod
    async def change(self, rules: str) -> int:
        """Other rules from now on. Each grant is judged anew, in the order in which they were made, and ends if it is
        refused; returns how many ended. Malformed with the reason if the rules cannot be: then nothing changed.
        """


class Policy(Interface, number=67):
    """A policy that is a server of its own. It remembers the grants that there are, and signals its channel when it
    will have some of them no more: then they are none that it holds.

    Whoever asks takes a failure for a refusal.
    """

    @operation(1)
    @abstractmethod
    async def judge(self, question: Question) -> Verdict:
        """Whether it may be granted now. Nothing changes."""

    @operation(2)
    @abstractmethod
    async def granted(self, question: Question) -> None:
        """It is granted from now on. NotPermitted if that is refused by now; told again, it makes no difference."""

    @operation(3)
    @abstractmethod
    async def ended(self, number: int) -> None:
        """A grant is over. One that is not known makes no difference."""

    @operation(4)
    @abstractmethod
    async def held(self, after: int) -> list[int]:
        """The numbers above ``after`` of the grants that there are, rising, as many as fit; none if no more are."""


class PolicyRules(Interface, number=73):
    """A policy server, for whoever answers for its rules."""

    @operation(1)
    @abstractmethod
    async def change(self, rules: str) -> int:
        """Other rules from now on; returns how many grants they refuse, which whoever asks this policy ends when he is
        told. Malformed with the reason if the rules cannot be, NoSpace if they are too long: then nothing changed.
        """
