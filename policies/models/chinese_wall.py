"""The Chinese wall: whoever has seen one company's data may not see its competitor's (Brewer and Nash, 1989).

Services belong to a *company*, and companies that compete to one *conflict class*. A service of no company is public
(sanitised, in the paper's word). What a subject has been able to read counts, not what it did read: a cap is enough.

The paper decides each access when it happens. A cap lasts, so one more rule is needed: while a subject holds a cap to
write somewhere it gets none to read another company's data, which it could then write there.
"""

from collections.abc import Mapping

from attrs import define, field, frozen

from capkernel.protocols.brokering import Question, Verdict
from policies.models.model import Model, allow, refuse


@frozen
class Walls:
    """Which company a service belongs to, and which conflict class a company."""

    companies: Mapping[str, str]
    conflicts: Mapping[str, str]

    def conflict(self, company: str) -> str:
        """The class of a company; one that competes with nobody is a class of its own."""
        return self.conflicts.get(company, company)


@define
class Seen:
    """The companies whose data each subject may have read, in order; the services that it may write now, by grant."""

    by_subject: dict[str, list[str]] = field(factory=dict)
    written: dict[str, dict[int, str]] = field(factory=dict)


class ChineseWall(Model):
    """The policy. What was seen cannot be unseen; only what can be written ends with its cap."""

    name = "chinese wall"

    def __init__(self, walls: Walls) -> None:
        self.walls = walls
        self.seen = Seen()

    def judge(self, question: Question) -> Verdict:
        """Simple security: no other company of a class whose data was seen. *-property: none at all, to write."""
        company = self.walls.companies.get(question.service)
        seen = self.seen.by_subject.get(question.subject, [])
        others = [other for other in seen if other != company]
        wrong = []
        if company is not None:
            rivals = [other for other in others if self.walls.conflict(other) == self.walls.conflict(company)]
            wrong += [f"{question.subject} has seen {rival}, which competes with {company}" for rival in rivals]
            written = self.seen.written.get(question.subject, {}).values()
            elsewhere = [service for service in written if self.walls.companies.get(service) != company]
            wrong += [f"{question.subject} may write {service} now, which is not {company}'s" for service in elsewhere]
        if question.writes and others:
            place = company or "what is public"
            wrong.append(f"{question.subject} has seen {', '.join(others)}, and could write it to {place}")
        if wrong:
            return refuse(*wrong)
        return allow(f"{question.service} is {company or 'public'}; {question.subject} has seen {_all(seen)}")

    def granted(self, question: Question) -> None:
        """Remember it. Whoever may write to a company's service is taken to know what is there."""
        company = self.walls.companies.get(question.service)
        seen = self.seen.by_subject.setdefault(question.subject, [])
        if company is not None and company not in seen:
            seen.append(company)
        if question.writes:
            self.seen.written.setdefault(question.subject, {})[question.number] = question.service

    def ended(self, question: Question) -> None:
        """It cannot be written any more through this cap."""
        self.seen.written.get(question.subject, {}).pop(question.number, None)

    @property
    def history(self) -> Seen:
        """Who has seen what."""
        return self.seen

    @history.setter
    def history(self, kept: Seen) -> None:
        self.seen = kept

    def inherit(self, history: Seen) -> None:
        """What was seen, whatever is held now."""
        self.seen = Seen({subject: list(companies) for subject, companies in history.by_subject.items()})


def _all(names: list[str]) -> str:
    return ", ".join(names) or "nobody's data"
