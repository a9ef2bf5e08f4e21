"""Any file of rules as a server of its own (``protocols.brokering.Policy``): it judges, and remembers, for one broker.

Rules, grants and memories are written down before they are told to anybody, in memory that lasts. One that cannot read
them any more does not start: then everything is refused. An approval (``two persons``) is given at the broker, so that
model has its place there.
"""

from typing import Any, Final

from capkernel.protocols.brokering import Policy, PolicyRules, Question, Verdict
from capkernel.protocols.failures import Malformed, NotPermitted
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from policies.council import REASON_BYTES, fitting
from policies.ledger import Ledger
from policies.rules import RulesError, read_rules

rules: int = 0
rules_size: int = 0x1000
ledger: int = 0
ledger_size: int = 0x1_0000
operator_region: int = 0
operator_region_size: int = 0x1000
"""Memory that is shared with whoever answers for the rules, if they are not to fit into a message."""

SUPERVISOR, BROKER, OPERATOR = 1, 2, 41
NUMBERS: Final = 100
"""Of grants in one answer."""


class PolicyServant(Policy):
    """The rules, for the broker."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def judge(self, question: Question) -> Verdict:
        """What the rules say."""
        verdict = self.ledger.office.judge(question)
        return Verdict(verdict.allowed, fitting(verdict.reasons, REASON_BYTES))

    async def granted(self, question: Question) -> None:
        """Write it down, if the rules still allow it."""
        if question.number in self.ledger.office.entries:
            return
        verdict = self.ledger.office.judge(question)
        if not verdict.allowed:
            raise NotPermitted("; ".join(verdict.reasons) or "there is no policy that could allow it")
        if question.number < 1:
            raise Malformed(f"grants have numbers from 1 on, not {question.number}")
        self.ledger.office.enter(question)
        await self.ledger.save()

    async def ended(self, number: int) -> None:
        """Write it down."""
        if number in self.ledger.office.entries:
            self.ledger.office.end(number)
            await self.ledger.save()

    async def held(self, after: int) -> list[int]:
        """The grants."""
        return sorted(number for number in self.ledger.office.entries if number > after)[:NUMBERS]


class RulesServant(PolicyRules):
    """The rules, for whoever answers for them."""

    def __init__(self, ledger: Ledger, pd: PD) -> None:
        self.ledger = ledger
        self.pd = pd

    async def change(self, rules: str) -> int:
        """Judge all anew, and say so to the broker."""
        try:
            policy = read_rules(rules)
        except RulesError as error:
            raise Malformed(str(error)) from None
        self.ledger.rules = rules
        refused = self.ledger.office.change(policy)
        await self.ledger.save()
        await self.pd.notify(BROKER)
        return len(refused)


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Go on where a former life was, or begin with the rules of the description."""
        book = Ledger(SharedRegion(ledger, ledger_size))
        await book.open((await pd.read(rules, rules_size)).rstrip(b"\0").decode())
        roots: dict[int, Interface] = {BROKER: PolicyServant(book), OPERATOR: RulesServant(book, pd)}
        regions = {OPERATOR: SharedRegion(operator_region, operator_region_size)} if operator_region else {}
        self.service = Service(pd, roots=roots.get, regions=regions)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """The broker asks, or the operator."""
        return await self.service.protected(msg)
