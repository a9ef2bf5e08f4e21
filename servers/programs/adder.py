"""Writes a number into each page of its heap, goes through them again, and ends with their sum."""

from capkernel.user.process import Process

PAGE = 4096


async def main(process: Process) -> int:
    """As many pages as its argument says."""
    pages = range(process.heap.start, process.heap.start + PAGE * int(process.arguments[0]), PAGE)
    for number, page in enumerate(pages, 1):
        await process.store(page, number)
    for page in pages:
        await process.store(page + 8, 2 * await process.load(page))
    return sum([await process.load(page + 8) - await process.load(page) for page in pages])
