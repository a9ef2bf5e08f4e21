"""Mallory on holiday. With this program in the attacker's place one sees what the fortress is like without attacks."""

from capkernel.user.loop import PD

ledger: int = 0
docket: int = 0
DONE = 8


async def init(pd: PD) -> None:
    await pd.store(ledger + DONE, 1)
