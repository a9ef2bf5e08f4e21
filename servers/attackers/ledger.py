"""What an attacker tried, and what came of it: counted by kind of trick, in memory that who looks on can read."""

from collections.abc import Awaitable
from typing import Any, Final

from capkernel.protocols.attacks import MOST_TOLD, ROW, TEXT, Trick, place_of, text_of
from capkernel.protocols.failures import FIRST_LABEL, Failure, ServerDied, kinds
from capkernel.user.codec import MessageError
from capkernel.user.errors import KernelError
from capkernel.user.loop import PD
from capkernel.user.messages import label_of
from capkernel.user.syscalls import Message

_LABELS: Final = frozenset(FIRST_LABEL + kind.code for kind in kinds()) - {FIRST_LABEL + ServerDied.code}
"""Of failures, of all kinds but that the server died."""


class Ledger:
    """The account while it is being written, at ``report``."""

    def __init__(self, pd: PD, report: int) -> None:
        self.pd = pd
        self.report = report
        self.rows = {trick: [0, 0, 0] for trick in Trick}
        self.told: list[str] = []

    async def refused(self, trick: Trick, what: str, attempt: Awaitable[Any]) -> None:
        """Try something that must be refused, by the server or by the kernel."""
        try:
            await attempt
        except MessageError:
            # It cannot be said at all: nothing was sent.
            return
        except ServerDied as death:
            await self.count(trick, f"{what}: {death}", is_refused=False)
        except (Failure, KernelError):
            await self.count(trick, what, is_refused=True)
        else:
            await self.count(trick, what, is_refused=False)

    async def answered(self, trick: Trick, what: str, reply: Message, *, must_fail: bool) -> None:
        """Judge a reply: a failure of a kind that is known, or (if it need not fail) a result."""
        label = label_of(reply)
        is_failure = label in _LABELS
        if not label and not must_fail:
            await self.allowed(trick)
            return
        await self.count(trick, f"{what} was answered with label {label:#x}", is_refused=is_failure)

    async def allowed(self, trick: Trick) -> None:
        """Something was tried that may be refused or not."""
        self.rows[trick][0] += 1
        await self._save(trick)

    async def count(self, trick: Trick, what: str, *, is_refused: bool) -> None:
        """Something was tried that had to be refused."""
        row = self.rows[trick]
        row[0] += 1
        row[1 if is_refused else 2] += 1
        await self._save(trick)
        if not is_refused and len(self.told) < MOST_TOLD:
            self.told.append(f"{trick.value}: {what}")
            await self.pd.write(self.report + TEXT, text_of(self.told))

    async def close(self) -> None:
        """It is over."""
        await self.pd.store(self.report, 1)

    async def _save(self, trick: Trick) -> None:
        where = self.report + place_of(list(Trick).index(trick))
        await self.pd.write(where, ROW.pack(*self.rows[trick]))
