"""Starts itself as often as it can, with half of what it has; then computes for ever."""

from capkernel.protocols.failures import Failure
from capkernel.protocols.files import File
from capkernel.protocols.processes import Launcher
from capkernel.protocols.spawn import Share, given, spawn
from capkernel.user.process import Process

LEAST = 0x2_0000
"""Bytes that a process and what it is given take at most."""


async def main(process: Process) -> int:
    """Without end."""
    launcher, program = given(Launcher, process, "launcher"), given(File, process, "program")
    try:
        while True:
            quota = await launcher.quota()
            left = quota.memory - quota.memory_taken - LEAST
            share = Share(left // 2 & -0x1000, 1) if left > 0x2000 else None
            caps = {"program": await program.derive(), **({"launcher": share} if share else {})}
            await spawn(launcher, program, ["forker"], caps, slots=True)
    except Failure:
        while True:
            await process.compute(1000)
