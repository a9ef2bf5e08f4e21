"""Takes memory from the account that it was given as ``memory``, page by page, until it is refused."""

from itertools import count

from capkernel.protocols.failures import QuotaExceeded
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.programs.telling import MISSING, described, lacks, tell


async def main(process: Process) -> int:
    """Take all; the exit code is how many pages that were."""
    if await lacks(process, "memory"):
        return MISSING
    account = given(Account, process, "memory")
    for number in count(1):
        try:
            await account.allocate(number, PAGE, Use.FRAMES)
        except QuotaExceeded as failure:
            info = await account.info()
            await tell(process, f"hog: {number - 1} pages, {info.used} of {info.quota} bytes; {described(failure)}")
            return number - 1
    raise AssertionError("an account has an end")
