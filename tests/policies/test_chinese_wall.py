"""The theorems of Brewer and Nash over any history: nobody holds two competitors' data, and none of it leaks."""

from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE, Question
from policies.models.chinese_wall import ChineseWall, Walls
from tests.policies.flows import SUBJECTS, Flow, histories, play

WALLS = Walls(
    {"loans": "bank a", "rates": "bank a", "deals": "bank b", "wells": "oil a", "rigs": "oil b"},
    {"bank a": "banks", "bank b": "banks", "oil a": "oil", "oil b": "oil"},
)
SERVICES = (*WALLS.companies, "news")
History = list[tuple[str, str, int, bool]]


def companies(data: set[str]) -> set[str]:
    return {WALLS.companies[source] for source in data if source in WALLS.companies}


@given(histories(SERVICES))
def test_nobody_ever_holds_the_data_of_two_competitors(history: History) -> None:
    flow = Flow(SERVICES)
    play(ChineseWall(WALLS), flow, history)
    for subject in SUBJECTS:
        classes = [WALLS.conflict(company) for company in companies(flow.holds[subject])]
        assert len(classes) == len(set(classes))


@given(histories(SERVICES))
def test_a_company_s_data_reach_no_other_company_and_not_the_public(history: History) -> None:
    flow = Flow(SERVICES)
    play(ChineseWall(WALLS), flow, history)
    for service in SERVICES:
        assert companies(flow.holds[service]) <= {WALLS.companies.get(service)}


@given(histories(SERVICES), st.integers(0, 30))
def test_with_its_history_it_goes_on_the_same(history: History, at: int) -> None:
    flow, model = Flow(SERVICES), ChineseWall(WALLS)
    play(model, flow, history[:at])
    again = ChineseWall(WALLS)
    again.history = model.history
    for subject in SUBJECTS:
        for service in SERVICES:
            for rights in (READ, WRITE, ALL_RIGHTS):
                question = Question(99, subject, service, rights)
                assert again.judge(question) == model.judge(question)


def test_the_first_choice_is_free_and_the_second_is_not() -> None:
    for first, second in (("loans", "deals"), ("deals", "loans")):
        model = ChineseWall(WALLS)
        model.granted(Question(1, "alice", first, READ))
        assert not model.judge(Question(2, "alice", second, READ)).allowed
        assert model.judge(Question(3, "alice", "wells", READ)).allowed
        assert model.judge(Question(4, "bob", second, READ)).allowed


def test_a_cap_to_write_is_a_leak_that_the_paper_s_rules_would_not_see() -> None:
    """The cap was granted when nothing had been seen; what is read later would flow through it."""
    model = ChineseWall(WALLS)
    write, read = Question(1, "alice", "news", WRITE), Question(2, "alice", "loans", READ)
    model.granted(write)
    assert model.judge(read).reasons == ("alice may write news now, which is not bank a's",)
    model.ended(write)
    assert model.judge(read).allowed
