"""Files in memory of which pages without anything but zeros take no room: for files with large gaps."""

from typing import Final

from servers.storage.ram_volume import Content, RamVolume

PAGE: Final = 512


class SparseContent:
    """Bytes in pages; a page that is not there is zeros, and of what is there nothing lies behind the end."""

    def __init__(self) -> None:
        self.size = 0
        self.pages: dict[int, bytes] = {}

    def __len__(self) -> int:
        """How many there are."""
        return self.size

    def read(self, offset: int, size: int) -> bytes:
        """Some of them."""
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        pages = range(offset // PAGE, (end + PAGE - 1) // PAGE)
        data = b"".join(self.pages.get(number, bytes(PAGE)) for number in pages)
        return data[offset - pages.start * PAGE : end - pages.start * PAGE]

    def write(self, offset: int, data: bytes) -> None:
        """Change some, or add them."""
        self.size = max(self.size, offset + len(data))
        done = 0
        while done < len(data):
            number, start = divmod(offset + done, PAGE)
            piece = data[done : done + PAGE - start]
            page = self.pages.get(number, bytes(PAGE))
            self._put(number, page[:start] + piece + page[start + len(piece) :])
            done += len(piece)

    def resize(self, size: int) -> None:
        """Cut off, or add zeros."""
        self.size = size
        last, rest = divmod(size, PAGE)
        for number in [number for number in self.pages if number >= last]:
            self._put(number, self.pages[number][:rest].ljust(PAGE, b"\0") if number == last else bytes(PAGE))

    def _put(self, number: int, page: bytes) -> None:
        self.pages[number] = page
        if not any(page):
            del self.pages[number]


class SparseVolume(RamVolume):
    """Files and directories in memory; they count with their whole size, whatever room they take."""

    def new_content(self) -> Content:
        """Without any page."""
        return SparseContent()
