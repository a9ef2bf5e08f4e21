"""What the policies promise, in a model of the scheduler: the first in the order that is ready runs for its lease."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.scheduling.edf import EarliestDeadline, Task
from servers.scheduling.fair_share import FairShare
from servers.scheduling.partitions import Member, Partition, Partitions, Usage
from servers.scheduling.policy import Policy


def run(policy: Policy, until: int, ready: frozenset[int], now: int = 0) -> dict[int, int]:
    """Let the policy schedule those that are always ready; what each has used."""
    total: dict[int, int] = {}
    policy.ran({}, now)
    while now < until:
        order = policy.order(now)
        turn = next(turn for turn in order if turn.member in ready)
        now += turn.lease_us
        total[turn.member] = total.get(turn.member, 0) + turn.lease_us
        policy.ran({each.member: turn.lease_us if each is turn else 0 for each in order}, now)
    return total


def partitions(shares: list[int], priorities: list[int]) -> Partitions:
    made = [Partition(str(number), share) for number, share in enumerate(shares)]
    members = [Member(number, str(number), priority) for number, priority in enumerate(priorities)]
    return Partitions(made, members)


@settings(max_examples=20, deadline=None)
@given(st.integers(10, 60), st.integers(10, 30), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_partitions_that_are_all_busy_get_their_shares_whatever_the_priorities(
    first: int, second: int, priorities: list[int]
) -> None:
    shares = [first, second, 100 - first - second]
    used = run(partitions(shares, priorities), 1_000_000, frozenset(range(3)))
    for number, share in enumerate(shares):
        assert abs(100 * used.get(number, 0) / sum(used.values()) - share) <= 1.0


def test_the_time_of_a_partition_that_is_idle_goes_to_the_highest_priority() -> None:
    used = run(partitions([70, 20, 10], [1, 1, 2]), 1_000_000, frozenset({0, 2}))
    assert used[0] / 10_000 == pytest.approx(70, abs=1.5)
    assert used[2] / 10_000 == pytest.approx(30, abs=1.5)


def test_who_has_little_left_gets_half_a_millisecond_under_overload_and_a_whole_one_while_there_is_free_time() -> None:
    for elsewhere, lease in ((10_200, 500), (12_000, 1_000)):
        policy = partitions([70, 20, 10], [1, 1, 2])
        policy.ran({}, 0)
        policy.ran({1: 19_800, 2: elsewhere}, 90_000)
        assert next(turn.lease_us for turn in policy.order(90_000) if turn.member == 1) == lease


def test_shares_must_add_up() -> None:
    with pytest.raises(ValueError, match="add up to 90"):
        partitions([70, 20], [0, 0])


def test_a_critical_member_goes_on_when_its_partition_has_nothing_left_and_its_bankruptcy_is_told_once() -> None:
    made = [Partition("a", 10, critical_us=5_000, channel=20), Partition("b", 90)]
    policy = Partitions(made, [Member(0, "a", 1, is_critical=True), Member(1, "b", 0)])
    policy.ran({}, 0)
    policy.ran({0: 10_000, 1: 0}, 10_000)
    assert policy.order(10_000)[0].member == 0
    policy.ran({0: 5_000, 1: 0}, 15_000)
    assert policy.order(15_000)[0].member == 1
    assert policy.news() == [20]
    policy.order(15_100)
    assert policy.news() == []


@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 5_000)), min_size=1, max_size=60))
def test_usage_within_the_window_is_never_more_than_was_used_since_it_began(steps: list[tuple[int, int]]) -> None:
    usage, now, entries = Usage(10_000), 0, []
    for length, used in steps:
        usage.add(now, now + length, min(used, length))
        entries.append((now, now + length, min(used, length)))
        now += length
    exact = sum(used * max(0, end - max(begin, now - 10_000)) / (end - begin) for begin, end, used in entries)
    assert abs(usage.within(now) - exact) <= 1


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.integers(0, 5), st.integers(1, 9), min_size=2, max_size=5))
def test_fair_share_keeps_the_lag_between_any_two_below_a_lease_of_each(weights: dict[int, int]) -> None:
    policy = FairShare(weights, lease_us=1_000)
    total = dict.fromkeys(weights, 0)
    for step in range(200):
        member = policy.order(step)[0].member
        total[member] += 1_000
        policy.ran({each: 1_000 if each == member else 0 for each in weights}, step)
        normal = {each: total[each] / weight for each, weight in weights.items()}
        for one in weights:
            for other in weights:
                assert normal[one] - normal[other] <= 1_000 / weights[one] + 1_000 / weights[other]


def test_who_has_slept_is_not_paid_for_it() -> None:
    policy = FairShare({0: 1, 1: 1}, lease_us=1_000)
    run(policy, 100_000, frozenset({0}))
    used = run(policy, 20_000, frozenset({0, 1}))
    assert abs(used[0] - used[1]) <= 2_000


def test_a_weight_is_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        FairShare({0: 0})


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 20), st.integers(5, 60)), min_size=1, max_size=5))
def test_edf_meets_every_deadline_of_every_set_that_it_takes(wanted: list[tuple[int, int]]) -> None:
    tasks = [Task(n, 100 * budget, 1_000 * period) for n, (budget, period) in enumerate(wanted)]
    try:
        policy = EarliestDeadline(tasks)
    except ValueError:
        return
    for now in range(0, 400_000, 100):
        for number in policy.release(now):
            assert policy.tasks[number].deadline == policy.tasks[number].next_release
        turn = policy.order(now)[0]
        task = policy.tasks[turn.member]
        if not task.is_waiting:
            task.left -= 100
            if task.left == 0:
                assert now + 100 <= task.deadline
                policy.finished(turn.member, now + 100)


def test_edf_refuses_what_cannot_be_promised() -> None:
    with pytest.raises(ValueError, match="100 % of the processor"):
        EarliestDeadline([Task(0, 500, 1_000), Task(1, 1_000, 2_000)])


def test_an_overrun_borrows_from_the_next_period() -> None:
    policy = EarliestDeadline([Task(0, 1_000, 5_000)])
    policy.release(0)
    policy.ran({0: 1_000}, 1_000)
    assert (policy.tasks[0].deadline, policy.tasks[0].left) == (10_000, 1_000)
