"""The policies that are servers of their own, as the broker asks them: all must allow, and who does not answer refuses.

Each remembers the grants that there are, as the broker does, and the two must agree. A grant is told before its caps
are made, and its end after they were taken back. So what a policy server holds and the broker does not is over, and
what the broker has and a policy server does not hold is something that it refuses, or was never told of. Both end as
soon as the two have spoken (``settle``): when the broker starts, when something could not be told, and when the policy
server says that it has other rules. Until then nothing new is granted.

No answer is remembered here: that of a server which is dead by now would be nobody's.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from capkernel.protocols.brokering import Policy, Question, Verdict
from capkernel.protocols.failures import Failure, Malformed
from policies.models.model import refuse

MAX_HELD: Final = 4096
"""Grants that a policy server may hold: one that tells of more tells nonsense."""
REASON_BYTES: Final = 480
"""Of all reasons of one policy server."""


class Council:
    """The policy servers by name."""

    def __init__(self, members: Mapping[str, Policy]) -> None:
        self.members = members
        self.behind = set(members)
        """Those with whom it must be settled first what there is."""

    def look_again(self, name: str) -> None:
        """A member may have changed its mind."""
        self.behind.add(name)

    async def judge(self, question: Question, own: Verdict) -> Verdict:
        """What all say, and the broker's own policies: the vetoes first."""
        verdicts = [own, *[await self._said(name, question) for name in self.members]]
        verdicts.sort(key=lambda verdict: verdict.allowed)
        allowed = all(verdict.allowed for verdict in verdicts)
        return Verdict(allowed, tuple(reason for verdict in verdicts for reason in verdict.reasons))

    async def _said(self, name: str, question: Question) -> Verdict:
        """One policy server's verdict, signed; whatever goes wrong is a refusal."""
        if name in self.behind:
            return refuse(f"{name}: it does not answer")
        try:
            said = await self.members[name].judge(question)
        except Failure as failure:
            return refuse(f"{name}: it does not answer ({type(failure).__name__})")
        reasons = fitting((_shown(reason) for reason in said.reasons), REASON_BYTES)
        return Verdict(said.allowed, tuple(f"{name}: {reason}" for reason in reasons) or (f"{name}: it does not say",))

    async def granted(self, question: Question) -> None:
        """Tell all. Raises the failure of the first that will not have it, or does not answer."""
        for name, member in self.members.items():
            try:
                await member.granted(question)
            except Failure:
                self.behind.add(name)
                raise

    async def ended(self, numbers: Iterable[int]) -> None:
        """Tell all; who does not hear it is told later."""
        for number in numbers:
            for name in [each for each in self.members if each not in self.behind]:
                try:
                    await self.members[name].ended(number)
                except Failure:
                    self.behind.add(name)

    async def settle(self, book: Collection[int]) -> dict[int, str]:
        """Compare the grants of the book with what members hold from whom nothing was heard; who is not there is asked
        again the next time. Returns the grants that one of them does not hold, with its name.
        """
        missing: dict[int, str] = {}
        for name in sorted(self.behind):
            try:
                held = await self._held(name)
                for number in sorted(held.difference(book)):
                    await self.members[name].ended(number)
            except Failure:
                continue
            self.behind.discard(name)
            missing |= dict.fromkeys(sorted(set(book) - held), name)
        return missing

    async def _held(self, name: str) -> set[int]:
        found: list[int] = []
        while len(found) <= MAX_HELD:
            more = await self.members[name].held(found[-1] if found else 0)
            if not more:
                return set(found)
            if more != sorted(set(more)) or more[0] <= (found[-1] if found else 0):
                break
            found += more
        raise Malformed(f"{name} tells nonsense of what it holds")


def fitting(reasons: Iterable[str], room: int) -> tuple[str, ...]:
    """The first of them, as many as fit into so many bytes of an answer."""
    found = []
    for reason in reasons:
        room -= len(reason.encode()) + 16
        if room < 0:
            break
        found.append(reason)
    return tuple(found)


def _shown(reason: str) -> str:
    """A reason of somebody else's, for records and consoles."""
    return "".join(each if each.isprintable() else "?" for each in reason)
