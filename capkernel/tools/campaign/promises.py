"""What is promised of a system while something goes wrong in it, and whether it was kept.

A system in which acknowledged data may be lost is a *contrast*: it is played when it is named, to be held against
those that keep it.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from capkernel.tools.campaign.harms import Harm
from capkernel.tools.campaign.record import Sums
from capkernel.tools.campaign.subjects import SUBJECTS


@frozen
class Campaign:
    """The campaign against one system; with ``corruption``, programs are spoilt and go on."""

    system: str
    corruption: bool

    @property
    def name(self) -> str:
        """In the record."""
        return f"{self.system}, corruption" if self.corruption else self.system

    def promises(self, harm: Harm) -> bool:
        """Whether that must not happen."""
        return harm not in SUBJECTS[self.system].may(spoilt=self.corruption)

    @property
    def is_contrast(self) -> bool:
        """Whether acknowledged data may be lost."""
        return not self.promises(Harm.LOST)

    def broken(self, sums: Sums) -> dict[Harm, int]:
        """What happened and must not, and how often."""
        return {harm: sums.harms[harm] for harm in Harm if self.promises(harm) and sums.harms[harm]}

    def unprotected(self, sums: Sums) -> dict[Harm, int]:
        """What happened and may, and how often."""
        return {harm: sums.harms[harm] for harm in Harm if not self.promises(harm) and sums.harms[harm]}

    def data(self, sums: Sums) -> dict[str, Any]:
        """For JSON, for people: what was found, what of it is promised not to happen, and whether that was kept."""
        promised = {harm: self.promises(harm) for harm in Harm}
        return sums.data() | {"promised": promised, "contrast": self.is_contrast, "kept": not self.broken(sums)}


def all_that_keep_data(*, corruption: bool) -> list[Campaign]:
    """Against every system that promises that no acknowledged data is lost."""
    campaigns = [Campaign(name, corruption) for name in SUBJECTS]
    return [each for each in campaigns if not each.is_contrast]


def are_kept(found: Mapping[Campaign, Sums]) -> bool:
    """Whether nothing happened anywhere that must not."""
    return not any(campaign.broken(sums) for campaign, sums in found.items())
