"""Writes lines for ever, as fast as it can: does whoever else is at the terminal still get a word in?"""

from itertools import count
from typing import NoReturn

from capkernel.protocols.console import Console
from capkernel.protocols.failures import Busy
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.programs.telling import CONSOLE, MISSING


async def main(process: Process) -> int:
    """Until somebody ends it."""
    return MISSING if CONSOLE not in process.caps else await _chatter(process, given(Console, process, CONSOLE))


async def _chatter(process: Process, console: Console) -> NoReturn:
    for number in count(1):
        try:
            await console.write(f"{process.name} {number}")
        except Busy:
            continue
    raise AssertionError("there is no last number")
