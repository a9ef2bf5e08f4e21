"""What programs have in common: to say something, if they were given the terminal."""

from contextlib import suppress

from capkernel.protocols.again import insist
from capkernel.protocols.console import Console
from capkernel.protocols.failures import Failure
from capkernel.protocols.spawn import given
from capkernel.user.process import Process

CONSOLE = "console"
MISSING = 64
"""The exit code of a program that was not given what it needs."""


async def tell(process: Process, text: str) -> None:
    """Write lines to the terminal, if the process was given it. If that fails nobody hears them."""
    if CONSOLE in process.caps:
        console = given(Console, process, CONSOLE)
        with suppress(Failure):
            await insist(console.write, text)


async def lacks(process: Process, name: str) -> bool:
    """Whether a cap is missing; then that is said."""
    if name in process.caps:
        return False
    await tell(process, f"{process.name}: nobody gave me {name!r}; I have {', '.join(process.caps) or 'nothing'}")
    return True


def described(failure: Failure) -> str:
    """A failure in one line."""
    return f"{type(failure).__name__}: {failure}"
