"""MX-6: a server is replaced by its next version, which fails once, while eight clients use it; they notice nothing."""

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "live update with state transfer and roll-back; no request is lost or doubled"
CLIENTS, EACH = 8, 40
LONGEST_US = 500_000


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; with ``everywhere`` one for each of 20 seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (20 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    stage = Stage("update", seed=seed)
    names = [f"sales{number}" for number in range(CLIENTS)]
    stage.run_until(lambda: all(stage.words(name, 1)[0] == EACH for name in names), LONGEST_US)
    run = stage.run(time_us=50_000)
    sales = [stage.words(name, 2 + EACH) for name in names]
    refused, after_refusal, version = stage.words("report", 3)
    handed_over = stage.words("ticket_state", 1)[0]
    stage.close()
    sold = sorted(number for taken in sales for number in taken[2:])
    story.claim("the new version failed once, and the old one went on", refused == 1 and after_refusal == 1, refused)
    story.claim("then the new version took over", version == 2, version)
    story.claim("clients were served before it and after it", 0 < handed_over < CLIENTS * EACH, f"{handed_over} before")
    story.claim("no request failed", not any(taken[1] for taken in sales))
    story.claim("no number is missing and none was given out twice", sold == list(range(1, CLIENTS * EACH + 1)))
    story.claim("each client's numbers rise", all(list(taken[2:]) == sorted(taken[2:]) for taken in sales))
    story.claim("nobody else stopped", not run.faults, run.faults)
    story.trace_hash = run.trace_hash
