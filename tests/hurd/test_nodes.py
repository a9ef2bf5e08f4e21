"""Caps to nodes: rights never grow, what is another's is not changed, what is kept with a node goes where it goes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.files import READ, READ_WRITE, WRITE
from capkernel.protocols.hurd import Ownership
from capkernel.protocols.hurd_auth import Ids
from servers.hurd.records import HIDDEN
from tests.hurd.running import ROOT, directory, done, failure, tree
from tests.hurd.test_records import identities

ALICE, MALLORY = Ids((1,), (4,)), Ids((2,), (4,))
modes = st.integers(0, 0o777).map(lambda mode: mode & 0o666)
steps = st.lists(st.tuples(st.sampled_from(["ids", "rights", "mode"]), identities, modes), max_size=6)


@given(modes, st.sampled_from([READ, WRITE, READ_WRITE]), steps)
@settings(max_examples=60)
def test_rights_of_a_file_never_grow(mode: int, rights: int, restrictions: list[tuple[str, Ids, int]]) -> None:
    nodes = tree()
    root = directory(nodes, ALICE)
    done(done(root.create("file")).closed())
    done(root.set_ownership("file", Ownership(1, 4, mode)))
    if failure(root.underlying("file", rights)):
        return
    file: Any = done(root.underlying("file", rights))
    held, who = rights, {1}
    for kind, ids, number in restrictions:
        if kind == "mode":
            done(directory(nodes, ROOT).set_ownership("file", Ownership(1, 4, number)))
        elif kind == "ids":
            file = done(file.restrict_ids(ids))
        elif not failure(file.restrict(number & 3)):
            file = done(file.restrict(number & 3))
        now = done(file.info()).rights
        assert now & ~held == 0
        assert set(file.viewer.ids.uids) <= who
        held, who = now, set(file.viewer.ids.uids)


@given(modes, identities)
@settings(max_examples=60)
def test_nobody_but_its_owner_and_root_says_what_becomes_of_a_node(mode: int, who: Ids) -> None:
    nodes = tree()
    done(directory(nodes, ALICE).create("node"))
    done(directory(nodes, ALICE).set_ownership("node", Ownership(1, 4, mode)))
    mine = directory(nodes, who)
    may = 0 in who.uids or 1 in who.uids
    assert failure(mine.set_passive("node", ["hello"])) == ("" if may else "NotPermitted")
    assert failure(mine.set_ownership("node", Ownership(1, 4, mode))) == ("" if may else "NotPermitted")
    assert failure(mine.set_ownership("node", Ownership(3, 4, mode))) == ("" if 0 in who.uids else "NotPermitted")


@pytest.mark.parametrize("name", sorted(HIDDEN))
def test_the_tables_are_nobodys(name: str) -> None:
    root = directory(tree(), ROOT)
    done(root.create("node"))
    other: Any = done(root.make_directory("other"))
    assert [entry.name for entry in done(root.list(0))] == ["node", "other"]
    attempts = [
        root.open(name, READ), root.underlying(name, READ), root.info(name), root.remove(name), root.ownership(name),
        root.rename(name, other, "mine"), root.rename("node", other, name), root.set_passive(name, ["x"]),
    ]  # fmt: skip
    assert {failure(attempt) for attempt in attempts} == {"NotFound"}
    assert failure(root.create(name)) == failure(root.make_directory(name)) == "Malformed"


def test_what_is_kept_with_a_node_goes_where_it_goes() -> None:
    nodes = tree()
    root = directory(nodes, ALICE)
    other: Any = done(root.make_directory("other"))
    done(done(root.create("node")).closed())
    done(root.set_ownership("node", Ownership(1, 4, 0o600)))
    done(root.set_passive("node", ["hurd_hello"]))
    done(root.rename("node", other, "moved"))
    assert done(other.ownership("moved")) == Ownership(1, 4, 0o600)
    assert done(other.translation("moved")).command == ["hurd_hello"]
    done(root.rename("other", root, "elsewhere"))
    again: Any = done(root.underlying_directory("elsewhere", READ_WRITE))
    assert done(again.translation("moved")).command == ["hurd_hello"]
    done(again.remove("moved"))
    done(again.closed())
    done(done(directory(nodes, ROOT).directory("elsewhere", READ_WRITE)).create("moved"))
    assert done(done(root.underlying_directory("elsewhere", READ)).ownership("moved")) == Ownership(0, 0, 0o644)


def test_a_directory_with_nothing_but_its_table_is_empty() -> None:
    root = directory(tree(), ALICE)
    below: Any = done(root.make_directory("below"))
    done(below.create("node"))
    assert failure(root.remove("below")) == "NotEmpty"
    done(below.remove("node"))
    assert not failure(root.remove("below"))


def test_a_move_that_fails_leaves_what_was_there_as_it_was() -> None:
    root = directory(tree(), ALICE)
    done(root.create("node"))
    done(root.make_directory("there"))
    done(root.set_ownership("node", Ownership(1, 4, 0o600)))
    assert failure(root.rename("node", root, "there")) == "AlreadyExists"
    assert done(root.ownership("there")) == Ownership(1, 4, 0o644)


def test_a_limit_holds_below_whatever_the_ids_allow() -> None:
    nodes = tree()
    done(directory(nodes, ALICE).make_directory("below"))
    done(done(directory(nodes, ALICE).underlying_directory("below", READ_WRITE)).create("file"))
    limited: Any = done(directory(nodes, ALICE).restrict(READ))
    assert failure(limited.underlying_directory("below", READ_WRITE)) == "NotPermitted"
    below: Any = done(limited.underlying_directory("below", READ))
    assert failure(below.underlying("file", WRITE)) == failure(below.set_passive("file", ["x"])) == "NotPermitted"
    assert not failure(below.underlying("file", READ))
