"""The attacker. She holds one cap, to call policy, and knows everything else about the system but secrets.

What she tries is enumerated from the tables of the kernel's interface and from the servers' protocols. She cannot
report to anybody: what came of it stands in her own memory at the end.
"""

from capkernel.user.loop import PD

from .attack_kernel import (
    amplify,
    answer_nobody,
    every_invocation,
    every_system_call,
    give_caps_away,
    smuggle_a_cap_in,
    unknown_system_calls,
)
from .attack_memory import foreign_memory, jumps
from .attack_servers import ask_for_more, confuse_the_deputy, forge, malformed_messages, starve
from .attacker import Attacker

ledger: int = 0
docket: int = 0

CHAPTERS = (
    starve, every_system_call, unknown_system_calls, every_invocation, answer_nobody, foreign_memory, jumps,
    give_caps_away, smuggle_a_cap_in, malformed_messages, forge, ask_for_more, amplify, confuse_the_deputy,
)  # fmt: skip


async def init(pd: PD) -> None:
    attacker = Attacker(pd, ledger, docket)
    for chapter in CHAPTERS:
        await chapter(attacker)
    await attacker.finish()
