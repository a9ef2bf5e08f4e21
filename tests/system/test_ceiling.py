"""Ceilings as they are written down, and what may rise above them by a description alone."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from typer import Typer
from typer.testing import CliRunner

from capkernel.system.authority import AuthorityGraph, Right, authority_of
from capkernel.system.ceiling import Ceiling, CeilingError, drafted, read_ceiling
from capkernel.system.closure import Closure
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools.check import check as command
from tests.system.test_authority import random_grants, random_graphs

EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEM = EXAMPLES / "ceiling" / "ceiling.system"
CEILING = EXAMPLES / "ceiling" / "ceiling.toml"


@pytest.fixture(scope="module")
def graph() -> AuthorityGraph:
    system = load(SYSTEM, search_path=[SYSTEM.parent])
    said = load_extensions(SYSTEM, system)
    return authority_of(system, said.grants, has_debug_calls=said.options.debug)


def check(*words: str, system: str = str(SYSTEM)):
    app = Typer()
    app.command()(command)
    return CliRunner().invoke(app, [system, *words])


def test_a_ceiling_that_holds_says_on_whose_word() -> None:
    result = check("--policy", str(CEILING))
    assert result.exit_code == 0
    assert "holds: 13 rights may come about" in result.stdout
    assert "if desk passes on no cap but call pd:library" in result.stdout


def test_without_the_trust_the_path_that_breaks_it_is_printed(tmp_path: Path) -> None:
    lower = tmp_path / "lower.toml"
    lower.write_text("".join(line for line in CEILING.open() if not line.startswith("desk =")))
    result = check("--policy", str(lower))
    assert result.exit_code == 1
    path = result.stdout[result.stdout.index("above the ceiling: visitor may call treasury") :].splitlines()
    assert [line.split("]")[0].strip() for line in path[1:5]] == ["[given", "[given", "[given", "[reply"]
    assert path[4].endswith("so visitor may call treasury")
    found = json.loads(check("--policy", str(lower), "--json").stdout)
    assert not found["holds"]
    assert ("pd:visitor", "call", "pd:treasury") in [(e["subject"], e["right"], e["object"]) for e in found["excesses"]]


def test_the_ceiling_of_the_system_of_policies_holds() -> None:
    policy = Path(__file__).parents[2] / "policies" / "systems" / "policies_ceiling.toml"
    result = check("--board", "virt_iommu", "--policy", str(policy), system="policies")
    assert result.exit_code == 0, result.stdout


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[labels", "this is no TOML"),
        ("[label]", "the file: 'label' is not known; there are labels, trusted, allow"),
        ("[labels]\nguests = ['visiter']", "labels.guests: there is no 'visiter' in the description; there is: "),
        ("[labels]\nguests = 'visitor'", "labels.guests: 'visitor' is no list of names"),
        ("[labels]\ndesk = ['visitor']", "labels.desk: 'desk' is something in the description"),
        ("[labels]\na = ['desk']\nb = ['desk']", "labels.b: 'desk' has the label 'a' already"),
        ("[labels]\na = ['desk']\n[[allow]]\nwho = ['desk']\nmay = ['call']\nwhat = ['*']",
         "allow 1, who: 'desk' has the label 'a'; name that"),
        ("[trusted]\ndesk = ['library']", "trusted.desk: 'library' is no right and object, such as \"call files\""),
        ("[trusted]\ndesk = ['phone library']", "trusted.desk: 'phone' is no right; they are read, write"),
        ("[[allow]]\nwho = ['desk']\nmay = ['call']", "allow 1: what is missing"),
        ("[allow]\nwho = ['desk']", "allow is a list: write [[allow]]"),
        ("[[allow]]\nwho = ['desk']\nmay = ['call']\nwhat = ['library']\nwhy = 'so'", "allow 1: 'why' is not known"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(graph: AuthorityGraph, text: str, complaint: str) -> None:
    with pytest.raises(CeilingError) as caught:
        read_ceiling(text, graph)
    assert complaint in str(caught.value)


def test_a_ceiling_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    assert check("--policy", str(tmp_path / "none.toml")).exit_code == 2
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"\xff")
    assert check("--policy", str(broken)).exit_code == 2
    assert check("--policy", str(CEILING), "--draft-policy").exit_code == 2


def test_the_draft_of_a_description_holds_and_says_all_of_it(tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text(check("--draft-policy").stdout)
    assert check("--policy", str(draft)).exit_code == 0


@settings(max_examples=20, deadline=None)
@given(random_graphs(), random_grants())
def test_the_draft_is_the_lowest_ceiling(graph, grants) -> None:
    """It holds; and without any one of its rules it does not."""
    whole = authority_of(graph.system, grants)
    rules = drafted(whole).split("\n\n") if drafted(whole) else []
    assert read_ceiling("\n\n".join(rules), whole).excesses(whole) == []
    for index in range(len(rules)):
        assert read_ceiling("\n\n".join(rules[:index] + rules[index + 1 :]), whole).excesses(whole)


@settings(max_examples=20, deadline=None)
@given(random_graphs(), random_grants())
def test_an_excess_ends_its_path_and_trust_only_takes_away(graph, grants) -> None:
    whole = authority_of(graph.system, grants)
    for excess in Ceiling({}, frozenset(), {}).excesses(whole):
        assert str(excess.fact) in excess.steps[-1].text
    pds = [node for node in whole.nodes if node.kind.value == "pd"]
    all_trusted = Ceiling({}, frozenset(), {node: frozenset() for node in pds})
    facts, fewer = Closure(whole).facts, all_trusted.closure(whole).facts
    assert set(fewer) <= set(facts)
    assert {(edge.subject, edge.right, edge.object) for edge in whole.edges} <= {
        (fact.subject, fact.right, fact.object) for fact in fewer
    }
    assert not any(derivation.giver for derivation in fewer.values())


def test_whoever_has_what_was_granted_to_a_domain_has_its_label(graph: AuthorityGraph) -> None:
    ceiling = read_ceiling("[labels]\nguests = ['visitor']", graph)
    assert ceiling.label(graph.find("visitor")) == "guests"
    assert ceiling.allows("guests", Right.CALL, "guests")
    assert not ceiling.allows("guests", Right.CALL, "pd:desk")
