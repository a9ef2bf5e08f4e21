"""The two-person rule: what one subject asks for, another must approve, who could have asked for it as well.

An approval is for one subject, service and set of rights, is good for one grant, and lapses after a while.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, evolve, field, frozen

from capkernel.protocols.brokering import Question, Verdict
from policies.models.model import Model, allow, refuse

PATIENCE_US: Final = 60_000_000


@frozen
class Approval:
    """Who said that who may have what, and when."""

    approver: str
    subject: str
    service: str
    rights: int
    at_us: int


@define
class Approvals:
    """Those that were given and not used; and those that were used, by the number of the grant, while it lasts."""

    waiting: list[Approval] = field(factory=list)
    used: dict[int, Approval] = field(factory=dict)


class TwoPersons(Model):
    """The policy: ``approvers`` says whose word counts for a service. A service that is not named needs nobody's."""

    name = "two persons"

    def __init__(self, approvers: Mapping[str, Sequence[str]], patience_us: int = PATIENCE_US) -> None:
        self.approvers = approvers
        self.patience_us = patience_us
        self.approvals = Approvals()

    def approve(self, approval: Approval) -> bool:
        """Somebody approves; says whether that counts. Whoever says the same again, says it anew, not twice."""
        counts = self._counts(approval)
        if counts:
            waiting = [each for each in self.approvals.waiting if evolve(each, at_us=approval.at_us) != approval]
            self.approvals.waiting = [*waiting, approval]
        return counts

    def _counts(self, approval: Approval) -> bool:
        return approval.approver in self.approvers.get(approval.service, ()) and approval.approver != approval.subject

    def _found(self, question: Question) -> Approval | None:
        for approval in self.approvals.waiting:
            fits = (approval.subject, approval.service) == (question.subject, question.service)
            is_fresh = 0 <= question.now_us - approval.at_us <= self.patience_us
            if fits and is_fresh and not question.rights & ~approval.rights:
                return approval
        return None

    def judge(self, question: Question) -> Verdict:
        """Whether somebody else has approved it."""
        if question.service not in self.approvers:
            return allow(f"{question.service} needs nobody's approval")
        approval = self._found(question)
        if approval is None:
            others = [name for name in self.approvers[question.service] if name != question.subject]
            return refuse(f"{question.service} needs the approval of {' or '.join(others) or 'somebody else'}")
        return allow(f"{approval.approver} approved it")

    def keeps(self, question: Question) -> Verdict:
        """What was approved stays so, if the approver's word still counts."""
        approval = self.approvals.used.get(question.number)
        if approval is not None and self._counts(approval):
            return allow(f"{approval.approver} approved it")
        return self.judge(question)

    def granted(self, question: Question) -> None:
        """The approval is used."""
        if question.service not in self.approvers or question.number in self.approvals.used:
            return
        approval = self._found(question)
        if approval is not None:
            self.approvals.waiting.remove(approval)
            self.approvals.used[question.number] = approval

    def ended(self, question: Question) -> None:
        """For the next grant there must be another approval."""
        self.approvals.used.pop(question.number, None)

    @property
    def history(self) -> Approvals:
        """All approvals that matter."""
        return self.approvals

    @history.setter
    def history(self, kept: Approvals) -> None:
        self.approvals = kept

    def inherit(self, history: Approvals) -> None:
        """Who approved what."""
        self.approvals = Approvals(list(history.waiting), dict(history.used))
