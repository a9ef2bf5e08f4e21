"""A program without files gets the one that the user chooses; another floods him, poses as the first, and gets none."""

import re
from typing import Final

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

TITLE = "the user gives a program the file he chooses, once or always; who floods and poses gets nothing"
LONGEST_US, SLICE_US = 4_000_000, 5_000
PROMPT: Final = "powerbox> "
WANTS: Final = re.compile(r"^powerbox: (\S+) wants to ", re.MULTILINE)
ANSWERS: Final = {"notepad": "letter rw always\r", "pesterer": "no\r"}
"""What the user types, by who asks as far as he can see."""
FIRST, SAMPLE, ALL = 20, 2, 40


@frozen
class Notepad:
    """What the honest program reports."""

    edits: int
    wrote: int
    rights: int
    refused: int


@frozen
class Pesterer:
    """The attacker's report."""

    done: int
    tries: int
    got: int
    wrote: int
    answered: int


@frozen
class Outcome:
    """What came of a run. ``asked`` is who wanted something, as the user saw it, in order."""

    notepad: Notepad
    pesterer: Pesterer
    asked: tuple[str, ...]
    activated: int
    steps: int
    trace_hash: str

    @property
    def is_over(self) -> bool:
        """Whether both came to their end."""
        return self.notepad.edits == 3 and bool(self.pesterer.done)


def play(faults: tuple[Fault, ...] = (), seed: int = 0, powerbox: str = "powerbox.elf") -> Outcome:
    """Run the system once, with a user who answers by what stands on his screen."""
    stage = Stage("powerbox", faults=faults, seed=seed, programs={"powerbox": powerbox})
    output, seen, asked = stage.booted.output, 0, []

    def is_over() -> bool:
        nonlocal seen
        text = output.text
        if text.count(PROMPT) > seen:
            seen = text.count(PROMPT)
            asked.append(WANTS.findall(text)[-1])
            output.feed(ANSWERS.get(asked[-1], "no\r").encode())
        stage.system.machine.poll_input()
        return stage.words("report_notepad", 1)[0] == 3 and bool(stage.words("report_pesterer", 1)[0])

    stage.run_until(is_over, LONGEST_US, SLICE_US)
    steps = stage.injector.steps["powerbox"]
    run = stage.run(time_us=100)
    outcome = Outcome(
        stage.report(Notepad, "report_notepad"), stage.report(Pesterer, "report_pesterer"), tuple(asked),
        len(stage.injector.activated), steps, run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; runs in which the powerbox dies; one with a powerbox that shows what it is told."""
    calm = play(seed=story.seed)
    notepad, pesterer = calm.notepad, calm.pesterer
    story.claim("the program got the file that the user chose, to read and write", notepad.wrote == notepad.edits == 3)
    story.claim("the user was asked once, and the answer remembered", calm.asked.count("notepad") == 1, calm.asked)
    story.claim("the attacker got nothing", bool(pesterer.done) and not pesterer.got, f"{pesterer.tries} questions")
    story.claim("nor could it answer itself", not pesterer.answered)
    few = calm.asked.count("pesterer")
    story.claim("of its flood few questions came to the user", 0 < few <= 3, few)
    played = [
        (step, play((Fault("powerbox", step, Kind.CRASH),), story.seed))
        for step in spread_from(FIRST, calm.steps, ALL if everywhere else SAMPLE)
    ]
    story.claim("the powerbox died", all(outcome.activated for _, outcome in played), f"at {len(played)} points")
    lost = [step for step, outcome in played if not outcome.is_over or outcome.notepad.wrote < 3]
    story.claim("each time the program got its file all the same", not lost, lost or "")
    forgot = [step for step, outcome in played if outcome.asked.count("notepad") > 2]
    story.claim("what was to be remembered was not forgotten", not forgot, forgot or "")
    loose = [step for step, outcome in played if outcome.pesterer.got]
    story.claim("and the attacker got nothing", not loose, loose or "")
    trusting = play(seed=story.seed, powerbox="trusting_powerbox.elf")
    deceived = trusting.pesterer
    story.claim("where what it says is shown as it says it, the user is deceived", bool(deceived.wrote), deceived.got)
    story.trace_hash = calm.trace_hash
