"""MA-N: rights that are given up too often. In other systems the second time hits somebody else's (CVE-2022-32866)."""

from capkernel.tools.demo.mach.tasks import Played, play
from capkernel.tools.demo.story import Story

TITLE = "a right that is given up twice: no operation lets the second time count, unless names are used again"
PROGRAMS = {"server": "careless.elf", "client": "bereft.elf", "third": "over_releaser.elf"}
REUSING = {"ports": "port_server_reusing_names.elf"}
SENDERS, RIGHTS = 5, 2
"""To the server's port: its own, two that were checked in, the victim's, the one that the attacker, begun anew, has
looked up. Rights that the victim gave.
"""


def story(story: Story, *, everywhere: bool = False) -> None:
    """The attack, then the server's mistake; once as it is, once with names that are used again."""
    safe, reusing = _play(story.seed, {}), _play(story.seed, REUSING)
    tries, refused = safe.words["third_report"]
    _, senders, send_onces, kept, second, answered = safe.words["server_report"]
    heard, other, got, lost = safe.words["client_report"]
    story.claim("the attack came to its end", safe.is_over and tries > 1000, f"{tries} tries, {refused} refused")
    story.claim("others' send rights to the port are all there, and no further ones", senders == SENDERS, senders)
    story.claim("and no send-once right is lost or too many", send_onces == 0 and kept == RIGHTS, kept)
    story.claim("the victim heard through each right that it gave, once", heard == RIGHTS and not other, heard)
    story.claim("nobody stopped", not safe.run.faults, safe.run.faults)
    story.claim("a server that gives a right up twice is told so", second == 1)
    story.claim("and the victim, whose request came in between, is answered", answered == 1 and got == 1 and not lost)
    _, _, _, _, second, answered = reusing.words["server_report"]
    _, _, got, lost = reusing.words["client_report"]
    story.claim("where names are used again, the same mistake hits another right", reusing.is_over and not second)
    story.claim("and the victim's answer is lost", lost == 1 and not got and not answered)
    story.trace_hash = safe.run.trace_hash


def _play(seed: int, programs: dict[str, str]) -> Played:
    reports = {"server_report": 6, "client_report": 4, "third_report": 2}
    return play(
        "mach_tasks", "server_report", reports, programs=PROGRAMS | programs, seed=seed, longest_us=10_000_000
    )  # fmt: skip
