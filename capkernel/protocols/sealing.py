"""Sealing (Morris 1973): what was sealed with a brand's sealer can be opened with that brand's unsealer, and not else.

A box may go through anybody's hands: who holds it has nothing of what is in it, and cannot put anything else in. Who
opens it knows that somebody sealed it who had the sealer. So sealer, unsealer and box are three caps, for three people.
"""

from abc import abstractmethod

from capkernel.protocols.interface import Cap, Interface, operation


class Box(Interface, number=79):
    """A sealed box. There is nothing to be asked of it; when its last cap is dropped, so is what is in it."""


class Sealer(Interface, number=77):
    """To put caps into boxes."""

    @operation(1)
    @abstractmethod
    async def seal(self, cap: Cap) -> Box:
        """A box with this cap in it. QuotaExceeded; Malformed for a cap to the server of boxes itself."""


class Unsealer(Interface, number=78):
    """To open them."""

    @operation(1)
    @abstractmethod
    async def open(self, box: Box) -> Cap:
        """A copy of what is in a box; the box stays. NotPermitted if it was not sealed with this brand's sealer."""


class Brand(Interface, number=76):
    """A brand: whoever made it hands out the two caps. They outlast it."""

    @operation(1)
    @abstractmethod
    async def sealer(self) -> Sealer:
        """Its sealer."""

    @operation(2)
    @abstractmethod
    async def unsealer(self) -> Unsealer:
        """Its unsealer."""


class Brands(Interface, number=75):
    """Where brands are made."""

    @operation(1)
    @abstractmethod
    async def make(self) -> Brand:
        """A new brand, unlike all others."""
