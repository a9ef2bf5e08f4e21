"""Looking through trees that others serve: so much is asked, and no more, whatever they answer."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.files import Directory, Entry, Kind
from servers.hurd.translators.read_only import ReadOnly
from servers.hurd.walk import Limits, Walk
from tests.hurd.running import done

kinds = st.sampled_from([Kind.FILE, Kind.DIRECTORY])
pages = st.lists(st.lists(st.tuples(st.text(max_size=3), kinds), min_size=1, max_size=4), max_size=4)


class Hostile(ReadOnly):
    """It answers what it was told to, at any depth, for ever if it ``is_endless``; ``held`` counts what is open."""

    asked = held = most = 0

    def __init__(self, answers: list[Any], *, is_endless: bool, refuses: bool) -> None:
        self.answers = answers
        self.is_endless = is_endless
        self.refuses = refuses

    async def list(self, start: int) -> list[Entry]:
        Hostile.asked += 1
        answers = [Entry(name, kind, 0) for page in self.answers for name, kind in page]
        return answers if self.is_endless else answers[start:]

    async def directory(self, name: str, rights: int) -> Directory:
        if self.refuses:
            raise NotPermitted("no")
        Hostile.held += 1
        Hostile.most = max(Hostile.most, Hostile.held)
        return Hostile(self.answers, is_endless=self.is_endless, refuses=self.refuses)

    async def closed(self) -> None:
        Hostile.held -= 1


@given(pages, st.booleans(), st.booleans(), st.integers(1, 30), st.integers(0, 4))
def test_a_walk_ends_and_holds_no_more_than_its_depth(
    answers: list[Any], is_endless: bool, refuses: bool, nodes: int, depth: int
) -> None:
    Hostile.asked = Hostile.held = Hostile.most = 0
    walk = Walk(Limits(nodes, depth))
    done(walk.look(Hostile(answers, is_endless=is_endless, refuses=refuses)))
    assert len(walk.found) <= nodes
    assert all(len(found.path) <= depth + 1 for found in walk.found)
    assert all("/" not in name and name not in ("", ".", "..") for found in walk.found for name in found.path)
    assert Hostile.most <= depth
    assert Hostile.held == 0
    assert Hostile.asked <= 2 * nodes + 2


def test_a_tree_within_the_limits_is_seen_whole() -> None:
    walk = Walk(Limits(10, 3))
    done(walk.look(Hostile([[("a", Kind.FILE), ("b", Kind.FILE)]], is_endless=False, refuses=False)))
    assert [found.path for found in walk.found] == [("a",), ("b",)]
    assert not walk.is_cut
