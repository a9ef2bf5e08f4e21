"""The command ``policy``: what rules answer, why, and what a change changes."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from capkernel.tools.policy import policy

BANK = Path(__file__).parents[2] / "examples" / "policies" / "bank.toml"


def ask(*words: object) -> Result:
    app = Typer()
    app.command()(policy)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_test_says_allowed_or_refused() -> None:
    allowed = ask("test", BANK, "alice", "loans", "read", "--duration", "5")
    assert (allowed.exit_code, allowed.stdout) == (0, "allowed\n")
    refused = ask("test", BANK, "alice", "loans", "write", "--duration", "5")
    assert (refused.exit_code, refused.stdout) == (1, "refused\n")


def test_an_explanation_has_every_reason_and_the_vetoes_first() -> None:
    said = ask("explain", BANK, "alice", "loans", "all").stdout.splitlines()
    assert said[:3] == [
        "refused",
        "  domain and type: domain analyst may not write type data",
        "  lease: loans is lent for at most 1 h, not for ever",
    ]
    assert json.loads(ask("explain", BANK, "alice", "loans", "all", "--json").stdout)["allowed"] is False


@pytest.mark.parametrize("words", [[], ["alice"], ["alice", "loans", "eat"], ["alice", "loans", "read", "now"]])
def test_who_asks_in_other_words_is_told_the_three_with_an_example(words: list[str]) -> None:
    said = ask("test", BANK, *words)
    assert (said.exit_code, said.stdout) == (2, "")
    assert "SUBJECT (who asks), SERVICE (what is wanted) and RIGHTS (read, write, all), as in" in said.stderr
    assert "''" not in said.stderr


def test_times_are_told_as_they_can_be_read() -> None:
    said = ask("explain", BANK, "alice", "loans", "read", "--duration", "1500").stdout
    assert "lease: loans is lent for 1.5 s" in said
    assert " us" not in said


def test_the_help_tells_test_from_explain() -> None:
    said = " ".join(ask("--help").stdout.replace("│", " ").split())
    assert "test: allowed or refused; explain: the same with each policy's reason" in said


def test_a_duration_is_a_number() -> None:
    for duration in ("inf", "nan", "-1"):
        said = ask("test", BANK, "alice", "loans", "read", "--duration", duration)
        assert (said.exit_code, said.stdout) == (2, "")


def test_a_difference_names_who_loses_what_and_why(tmp_path: Path) -> None:
    newer = tmp_path / "next.toml"
    newer.write_text(BANK.read_text().replace('{ data = ["read", "write"]', '{ data = ["read"]'))
    result = ask("diff", BANK, newer, "--duration", "5", "--json")
    rows = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [(row["subject"], row["service"], row["right"], row["now"]) for row in rows] == [
        ("carol", service, "write", "refused") for service in ("deals", "loans", "rates")
    ]
    assert rows[0]["reasons"] == ["domain and type: domain clerk may not write type data"]
    assert "3 answers differ" in ask("diff", BANK, newer, "--duration", "5").stdout
    back = json.loads(ask("diff", newer, BANK, "--duration", "5", "--json").stdout)
    assert [row["now"] for row in back] == ["allowed"] * 3
    assert ask("diff", BANK, BANK).exit_code == 0


def test_what_was_granted_before_counts() -> None:
    wall = BANK, "alice", "deals", "read", "--duration", "5"
    assert ask("test", *wall).exit_code == 0
    said = ask("explain", *wall, "--after", "alice loans read")
    assert said.exit_code == 1
    assert "chinese wall: alice has seen bank a, which competes with bank b" in said.stdout


def test_a_difference_takes_back_what_was_granted_before_and_is_granted_no_more(tmp_path: Path) -> None:
    newer = tmp_path / "next.toml"
    newer.write_text(BANK.read_text().replace('{ data = ["read", "write"]', '{ data = ["read"]'))
    result = ask("diff", BANK, newer, "--duration", "5", "--json", "--after", "carol rates write")
    rows = json.loads(result.stdout)
    assert rows[0] == {
        "subject": "carol", "service": "rates", "right": "write", "for": "5 ms", "now": "taken back",
        "reasons": ["domain and type: domain clerk may not write type data"],
    }  # fmt: skip
    assert {row["now"] for row in rows[1:]} == {"refused"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["test", "no-such-file", "a", "b", "read"], "no-such-file: No such file"),
        (["test", BANK, "a", "b"], "a question is three words: SUBJECT"),
        (["test", BANK, "a", "b", "read", "--after", "a b"], "a question is three words: SUBJECT"),
        (["test", BANK, "a", "b", "read", "--after", "nobody b read"], "--after 'nobody b read' could not have been"),
        (["test", BANK, "a", "b", "own"], "RIGHTS (read, write, all)"), (["diff", BANK], "two files"),
    ],
)  # fmt: skip
def test_wrong_usage_is_said(words: list[object], said: str) -> None:
    result = ask(*words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_files_that_differ_are_no_difference_of_nothing(tmp_path: Path) -> None:
    """A wall that is left out lets nobody have more who has had nothing yet; that it is gone is said all the same."""
    newer = tmp_path / "newer.toml"
    newer.write_text("[[policy]]" + BANK.read_text().split("[[policy]]", 2)[2])
    result = ask("diff", BANK, newer)
    assert result.exit_code == 1
    assert "the files differ" in result.stdout
    assert ask("diff", BANK, BANK).stdout.startswith("nothing differs")


@pytest.mark.parametrize(
    ("file", "question", "is_allowed", "reason"),
    [
        ("secrecy", "alice bulletin write", False, "secrecy: no write down: alice is secret/crypto, bulletin is"),
        ("secrecy", "alice plans all", True, "secrecy: alice is secret/crypto, plans is secret/crypto"),
        ("integrity", "network programs write", False, "integrity: no write up: network is untrusted, programs is"),
        ("integrity", "updater programs write", True, "integrity: updater is system, programs is system"),
        ("quota", "guest files read", False, "quota: guest holds 0 of 0 already"),
        ("quota", "alice files read", True, "quota: alice holds 0 of 2"),
        ("rate", "crawler files read", False, "rate: crawler is granted nothing"),
        ("rate", "robot files read", True, "rate: robot has 1 of 1 grants a second left"),
        ("two_persons", "alice vault read", False, "two persons: vault needs the approval of bob"),
        ("two_persons", "alice files read", True, "two persons: files needs nobody's approval"),
        ("cedar", "bob archive write", False, "cedar: write is permitted by no rule"),
        ("cedar", "alice archive all", True, "cedar: write is permitted by trusted-write-backups"),
    ],
)
def test_each_example_tells_whom_it_allows_and_why(file: str, question: str, is_allowed: bool, reason: str) -> None:
    if file == "cedar":
        pytest.importorskip("cedarpy", reason="Cedar comes with capkernel[policy]")
    path = BANK.parent / f"{file}.toml"
    assert ask("test", path, *question.split()).stdout == ("allowed\n" if is_allowed else "refused\n")
    said = ask("explain", path, *question.split())
    assert said.exit_code == (not is_allowed)
    assert reason in said.stdout
