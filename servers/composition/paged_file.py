"""A file in memory that is somebody else's to page: bytes that outlive the program which serves them."""

from typing import Final

from capkernel.abi.objects import PAGE_BYTES
from capkernel.user.loop import PD

SIZE, CONTENT = 0, PAGE_BYTES
"""Where, from the start on, the size in bytes is (0: nothing is kept yet), and where the bytes begin."""
MAX_SIZE: Final = 3 * PAGE_BYTES


class PagedFile:
    """The bytes from ``start`` on. Nothing is kept of them elsewhere: each look at them is one at memory."""

    def __init__(self, pd: PD, start: int) -> None:
        self.pd = pd
        self.start = start

    async def keep(self, content: bytes) -> None:
        """Make this the content, if there is none yet. The size is written last, so a half-done copy is done again.

        Raises ValueError if it is empty or too long.
        """
        if not 0 < len(content) <= MAX_SIZE:
            raise ValueError(f"1 to {MAX_SIZE} bytes are kept, not {len(content)}")
        if not await self.pd.load(self.start + SIZE):
            await self.pd.write(self.start + CONTENT, content)
            await self.pd.store(self.start + SIZE, len(content))

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes of it, as ``File.read``."""
        left = await self.pd.load(self.start + SIZE) - offset
        return await self.pd.read(self.start + CONTENT + offset, min(size, left)) if left > 0 else b""
