"""The prompt after something came to grief: `why` speaks of what was last, a dead console leaves no empty line."""

from collections.abc import Iterator

import pytest

from capkernel.tools.mallory import Prompt


@pytest.fixture(scope="module")
def prompt() -> Iterator[Prompt]:
    found = Prompt(1)
    yield found
    found.system.cpu.close()


def test_why_explains_the_fault_that_came_after_a_refusal_and_the_refusal_that_came_after_it(prompt: Prompt) -> None:
    prompt.do("cat nothing")
    assert prompt.do("why")[0] == "`cat nothing` was refused."
    prompt.do("run stray 0x66666000")
    why = prompt.do("why")
    assert why[0].startswith("Process ")
    assert "stray, faulted: VMFault" in why[0]
    assert "It was given nothing." in why
    prompt.do("cat nothing")
    assert prompt.do("why")[0] == "`cat nothing` was refused."


def test_a_console_that_is_killed_leaves_no_empty_line(prompt: Prompt) -> None:
    said = prompt.do("kill console")
    assert "console: life 1 ended, life 2 has begun" in said
    assert "" not in said


@pytest.mark.parametrize(("given", "said"), [
    ("dir=note", "cling: there is nothing to hold on to: Malformed"),
    ("dir=empty", "cling: 3 of 3 caps work"),
    ("dir=full", "cling: 4 of 4 caps work"),
])  # fmt: skip
def test_cling_does_not_die_of_what_it_is_given(prompt: Prompt, given: str, said: str) -> None:
    for line in ("write note x", "mkdir empty", "mkdir full", "write full/one x"):
        prompt.do(line)
    began = prompt.do(f"run cling with {given} console=console &")
    number = began[0].split("]")[0].lstrip("[")
    heard = began + prompt.do("sleep 30")
    assert any(line.startswith(said) for line in heard), heard
    if "work" in said:
        heard = prompt.do(f"revoke {number} dir") + prompt.do("sleep 30")
        assert any("it was taken away; 0 of" in line for line in heard), heard
    assert not any("faulted" in line for line in heard)


def test_cling_whose_terminal_is_taken_away_goes_on_and_ends_by_itself(prompt: Prompt) -> None:
    prompt.do("mkdir other")
    began = prompt.do("run cling with dir=other console=console &")
    number = began[0].split("]")[0].lstrip("[")
    prompt.do("sleep 30")
    prompt.do(f"revoke {number} console")
    heard = prompt.do(f"revoke {number} dir") + prompt.do("sleep 30")
    assert f"[{number}] cling exited with 0" in heard
    assert not any("faulted" in line for line in heard)


def test_mallory_says_that_her_home_is_no_directory(prompt: Prompt) -> None:
    prompt.do("write plain x")
    heard = prompt.do("run mallory with home=plain console=console")
    assert any(line.startswith("mallory: home: ") for line in heard), heard
    assert any(line.endswith("0 succeeded") for line in heard)
    assert not any("faulted" in line for line in heard)
