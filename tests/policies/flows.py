"""What could flow: subjects and services hold data, and every cap that is held moves some at every moment."""

from collections.abc import Iterable

from hypothesis import strategies as st

from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE, Question
from policies.models.model import Model

SUBJECTS = ("alice", "bob", "carol")


class Flow:
    """The worst case. Data are named by the service in which they began; ``holds`` says who has got which by now."""

    def __init__(self, services: Iterable[str]) -> None:
        self.holds: dict[str, set[str]] = {subject: set() for subject in SUBJECTS}
        self.holds |= {service: {service} for service in services}
        self.active: dict[int, Question] = {}
        self.asked = 0

    def settle(self) -> None:
        """Move everything that can move, until nothing does."""
        before = -1
        while before != (before := sum(map(len, self.holds.values()))):
            for question in self.active.values():
                if question.reads:
                    self.holds[question.subject] |= self.holds[question.service]
                if question.writes:
                    self.holds[question.service] |= self.holds[question.subject]


def play(model: Model, flow: Flow, history: Iterable[tuple[str, str, int, bool]]) -> list[Question]:
    """Ask for one grant after the other; the last of each tuple says whether the oldest cap is given up before."""
    granted = []
    for subject, service, rights, gives_up in history:
        if gives_up and flow.active:
            oldest = min(flow.active)
            model.ended(flow.active.pop(oldest))
        flow.asked += 1
        question = Question(flow.asked, subject, service, rights)
        verdict = model.judge(question)
        assert verdict.reasons, "every answer has a reason"
        assert model.judge(question) == verdict, "asking changes nothing"
        if verdict.allowed:
            model.granted(question)
            flow.active[question.number] = question
            flow.settle()
            granted.append(question)
    return granted


def histories(services: Iterable[str]) -> st.SearchStrategy[list[tuple[str, str, int, bool]]]:
    """Any order in which caps are asked for and given up."""
    return st.lists(
        st.tuples(
            st.sampled_from(SUBJECTS), st.sampled_from(sorted(services)), st.sampled_from([READ, WRITE, ALL_RIGHTS]),
            st.booleans(),
        ),
        max_size=30,
    )  # fmt: skip
