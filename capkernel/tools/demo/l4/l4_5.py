"""L4-5: two clients with a factory each; one exhausts his again and again, and a factory inside it, the other notices
nothing.
"""

from typing import Final

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.tour_systems import Run

TITLE = "factory quota: who exhausts his factory is refused, and nobody else is"
ROUNDS, OBJECTS = 10, 7
"""Of the sibling: rounds, and objects that each makes."""
QUOTA, NESTED, GATE = 1 << 14, 1 << 12, 1 << 8
"""Bytes: of the hog's factory, of the one that he makes of it, of a gate."""
LONGEST_US: Final = 400_000


@frozen
class Outcome:
    """What the two reported."""

    hog: tuple[int, ...]
    sibling: tuple[int, ...]
    is_over: bool
    run: Run


def story(story: Story, *, everywhere: bool = False) -> None:
    """With the hog, without him, and with a server that keeps factories' memory in common. With ``everywhere`` for ten
    seeds, which shift the clock.
    """
    for seed in range(story.seed, story.seed + (10 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    seen, alone = _play(seed), _play(seed, {"hog": "bystander.elf"})
    rounds, first, last, refused, nested, foreign, worn = seen.hog
    turns, made, sibling_refused, usable, longest = seen.sibling
    story.tell(f"the hog fills his factory {rounds} times; each time {first} gates, and {nested} in one inside it")
    story.claim("he is refused when his quota is used up, not before", first == (QUOTA - NESTED) // GATE, first)
    story.claim("so is a factory made of his: it takes its part, no more", nested == NESTED // GATE, f"{nested} gates")
    story.claim("each refusal was his own", refused == 2 * rounds > 2, refused)
    story.claim("what he destroys he has back: the last time as many as the first", last == first and not worn, last)
    story.claim("he can destroy nothing of the sibling's", foreign == 0)
    story.claim("meanwhile the sibling made all that was promised to it", made == ROUNDS * OBJECTS, made)
    story.claim("and was never refused", sibling_refused == 0 and seen.is_over and turns == ROUNDS)
    story.claim("what it made could be used: a thread, a notification, slots", usable == ROUNDS, usable)
    story.claim("its report is that of a run without the hog, but for time", seen.sibling[:4] == alone.sibling[:4])
    story.claim("nobody stopped", not seen.run.faults, seen.run.faults)
    took = f"{longest / 10:.1f} µs; without the hog {alone.sibling[4] / 10:.1f} µs"
    story.figures["the sibling's longest request"] = took
    story.trace_hash = seen.run.trace_hash
    shared = _play(seed, {"factory": "l4_factory_shared.elf"})
    story.claim("with one memory for all, the sibling is refused", shared.sibling[2] > 0, shared.sibling[2])


def _play(seed: int, programs: dict[str, str] | None = None) -> Outcome:
    stage = Stage("l4_factories", seed=seed, programs=programs)
    is_over = stage.run_until(lambda: stage.words("sibling_report", 1)[0] == ROUNDS, LONGEST_US)
    hog, sibling = stage.words("hog_report", 7), stage.words("sibling_report", 5)
    run = stage.run(time_us=1)
    stage.close()
    return Outcome(hog, sibling, is_over, run)
