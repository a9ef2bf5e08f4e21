"""MA-2: a receive right moves in mid-stream, in a message, with what is queued."""

from capkernel.tools.demo.mach.tasks import play
from capkernel.tools.demo.story import Story

TITLE = "the receive right moves in mid-stream: order is kept, nothing is lost, the sender notices nothing"
MESSAGES, TRIES = 60, 3
PROGRAMS = dict.fromkeys(("server", "client", "third"), "moving.elf")


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; with ``everywhere`` one for each of 20 seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (20 if everywhere else 1)):
        reports = {"server_report": 4 + MESSAGES, "client_report": 3, "third_report": 4 + MESSAGES}
        played = play("mach_tasks", "third_report", reports, programs=PROGRAMS, seed=seed)
        _, first, _, after, *before = played.words["server_report"]
        _, second, _, _, *behind = played.words["third_report"]
        done, sent, errors = played.words["client_report"]
        numbers = [*before[:first], *behind[:second]]
        story.claim("the first owner received some, the next owner the rest", first > 0 and second > 0, (first, second))
        story.claim("each message came once, in the order of sending", numbers == [*range(1, MESSAGES + 1)])
        story.claim("the sender sent all through one right, and saw no error", (done, sent, errors) == (1, MESSAGES, 0))
        story.claim("caps to the right that was sent away lead nowhere", after == TRIES, after)
        story.claim("nobody stopped", not played.run.faults)
        story.trace_hash = played.run.trace_hash
