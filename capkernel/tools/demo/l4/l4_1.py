"""L4-1: call and reply-and-wait, a system call each; waiting for anybody, or for one partner whoever else sends."""

from typing import Final

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.tour_systems import Run

TITLE = "call and reply-and-wait; open and closed wait: a third party cannot get in between; timeouts"
TRANSFERS, NOTES, TRIES = 20, 30, 60
PATIENCE: Final = 20_000
"""Ticks: the timeout that the server waits for at first."""
PAUSE: Final = 300
"""Ticks that a client takes between the two parts of a dialogue."""
SLACK: Final = 1_000
LONGEST_US: Final = 200_000
OVERHEAD: Final = 24
"""System calls of the server besides those for messages: time-outs, timer, start."""
ALONE: Final = {"bob": "bystander.elf", "mallory": "bystander.elf"}


@frozen
class Outcome:
    """What each reported, and the steps that each made."""

    teller: tuple[int, ...]
    alice: tuple[int, ...]
    bob: int
    mallory: tuple[int, ...]
    steps: dict[str, int]
    run: Run


def story(story: Story, *, everywhere: bool = False) -> None:
    """All clients at once; Alice alone, to count system calls; a server that waits for anybody. With ``everywhere`` for
    ten seeds, which shift the clock.
    """
    for seed in range(story.seed, story.seed + (10 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    seen = _play(seed)
    transfers, stolen, notes, in_order, out_of_turn, at_once, patient = seen.teller
    _, accepted, blocked = seen.mallory
    story.claim("every dialogue ends with what its client wanted", seen.alice == (TRANSFERS, TRANSFERS), seen.alice[1])
    story.claim("closed wait: no second part was ever taken from a third party", transfers == TRANSFERS and not stolen)
    story.claim(
        "open wait: a third party is heard, and refused by the server", out_of_turn > 0 == accepted, out_of_turn
    )
    kept = f"up to {blocked / 10:.0f} µs"
    story.claim("what it sent while another was waited for stayed with it so long", blocked > PAUSE, kept)
    story.claim("who only sends loses nothing, and nothing is doubled", notes == in_order == seen.bob == NOTES, notes)
    story.claim("a timeout of 0 is at once", 0 < at_once < SLACK, f"{at_once / 10:.1f} µs")
    story.claim("a finite one is neither early nor late, though others send", 0 <= patient - PATIENCE < SLACK, patient)
    story.claim("nobody stopped", not seen.run.faults, seen.run.faults)
    alone = _play(seed, ALONE)
    calls = alone.steps["alice"] - 2 * TRANSFERS
    replies = alone.steps["teller"] - 2 * TRANSFERS
    story.claim("a call is one system call", alone.alice[1] == TRANSFERS and calls == 1, f"{2 * TRANSFERS} calls")
    story.claim("so is reply-and-wait, for anybody or for one", 0 <= replies < OVERHEAD, f"{replies} others")
    story.trace_hash = seen.run.trace_hash
    fooled = _play(seed, {"teller": "l4_teller_open.elf"})
    story.claim("a server that waits for anybody takes the third party's", fooled.teller[1] > 0, fooled.teller[1])


def _play(seed: int, programs: dict[str, str] | None = None) -> Outcome:
    stage = Stage("l4_ipc", seed=seed, programs=programs)
    is_alone = programs == ALONE

    def is_over() -> bool:
        ends = [stage.words(f"{name}_report", 1)[0] for name in ("alice", "bob", "mallory")]
        return ends == [TRANSFERS, *((NOTES, TRIES) if not is_alone else (0, 0))]

    stage.run_until(is_over, LONGEST_US)
    steps = dict(stage.injector.steps)
    run = stage.run(time_us=1)
    seen = Outcome(
        stage.words("teller_report", 7), stage.words("alice_report", 2), stage.words("bob_report", 1)[0],
        stage.words("mallory_report", 3), steps, run,
    )  # fmt: skip
    stage.close()
    return seen
