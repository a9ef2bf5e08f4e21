"""MA-6: a queue's limit, and the memory behind it."""

from capkernel.tools.demo.mach.tasks import play
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "senders wait at a queue's limit; the port's owner pays for what is queued, and nobody else can be made to"
PROGRAMS = dict.fromkeys(("server", "client", "third"), "crowd.elf")
LIMIT, MESSAGES, BLOCK, WAIT_TICKS = 5, 12, 64, 20_000
SMALL, BIG = 3 * BLOCK, 11 * BLOCK
"""What the sender's messages of 100 and of 600 bytes take."""


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run."""
    stage = Stage("mach_tasks", seed=story.seed, programs=PROGRAMS)
    stage.run_until(lambda: stage.words("server_report", 4)[3] > 0, 1_000_000, 500)
    sent_when_full = stage.words("client_report", 2)[1]
    stage.close()
    reports = {"server_report": 7, "client_report": 6, "third_report": 3}
    played = play("mach_tasks", "third_report", reports, programs=PROGRAMS, seed=story.seed)
    _, before, full, queued, after, given, kept = played.words["server_report"]
    done, sent, timed_out, waited, own, thin = played.words["client_report"]
    _, refused, taken = played.words["third_report"]
    story.claim("the queue holds as many as its limit, and the sender waits with the next", queued == LIMIT, queued)
    story.claim("at that time it had sent no more", sent_when_full == LIMIT, sent_when_full)
    story.claim("who does not want to wait, or not so long, is told in time", timed_out == 2 and waited >= WAIT_TICKS)
    story.claim("when the owner receives again, the sender goes on to the end", done == 1 and sent == MESSAGES, sent)
    story.claim("the owner pays for each queued message", full - before == LIMIT * SMALL, f"{full} bytes")
    story.claim("and no longer than it is queued", after == before)
    story.claim("the sender pays nothing", own == 0)
    story.claim("a port takes no more than its owner can pay, whatever its limit is", thin == 2, thin)
    story.claim("the owner's own ports are not the poorer for another's", sent == MESSAGES)
    story.claim("a port is not received by who cannot pay for it, and not lost", refused == 1)
    moved = given, kept, taken
    story.claim("who receives it pays from then on, and who gave it no more", moved == (2 * BIG, 0, 2 * BIG), moved)
    story.claim("nobody stopped", not played.run.faults)
    story.trace_hash = played.run.trace_hash
