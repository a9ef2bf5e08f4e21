"""A powerbox that shows what programs say as they say it, and lets them ask as often as they like: not to be used."""

from capkernel.user.loop import PD as PD
from policies import powerbox

names: int = 0
choices: int = 0


class TrustingDialogue(powerbox.Dialogue):
    """The conversation with the user."""

    def quoted(self, text: str) -> str:
        """What others say."""
        return text


class TrustingServant(powerbox.PowerboxServant):
    """The powerbox, for one program."""

    def check(self, purpose: str) -> None:
        """All purposes are good."""


class Program(powerbox.Program):
    """The server."""

    servant = TrustingServant
    dialogue = TrustingDialogue

    async def init(self, pd: PD) -> None:
        """Serve, with the memory that this program was given."""
        powerbox.names, powerbox.choices = names, choices
        await super().init(pd)
