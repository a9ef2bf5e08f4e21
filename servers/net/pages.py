"""What a web server has to give: the files below a directory's cap, by the path in a URL.

A path's names are looked up one after the other, each in the directory before: there is no name for what lies above,
and a name with a slash, a zero or only dots in it is none.
"""

import html
import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from attrs import define, field

from capkernel.protocols.failures import Failure, Malformed, NotFound, WrongKind
from capkernel.protocols.files import READ, Directory, Entry, File, Kind, checked_name
from servers.net.closing import let_go

INDEX: Final = "index.html"
MAX_ENTRIES: Final = 500
"""Names in a list that is made for a directory."""
MAX_DEPTH: Final = 32
_WHOLE_URL: Final = re.compile(
    r"http://(?:\[[0-9A-F:.]+\]|[\w.~%!$&'()*+,;=-]+)(?::\d*)?(?=[/?]|$)", re.IGNORECASE | re.ASCII
)
"""Scheme, host and port (RFC 3986); no user, whom nothing here would ask for."""


class Moved(Exception):
    """It is at another path: that of a directory ends with a slash."""


@define
class Page:
    """Something to be given out: ``size`` bytes, in a file or here."""

    kind: str
    size: int
    content: bytes = b""
    file: File | None = field(default=None, repr=False)
    opened: "list[File | Directory]" = field(factory=list, repr=False)

    async def read(self, offset: int, size: int) -> bytes:
        """A piece of it."""
        return self.content[offset : offset + size] if self.file is None else await self.file.read(offset, size)

    async def close(self) -> None:
        """It is not needed any more."""
        await _close(self.opened)


class Pages:
    """The pages below a directory."""

    def __init__(self, root: Directory) -> None:
        self.root = root

    async def find(self, target: str) -> Page:
        """What a request's target leads to. Raises Moved, Malformed, NotFound, and what the directory raises."""
        path = path_in(target)
        names = names_in(path)
        opened: list[File | Directory] = []
        try:
            return await self._find(names, path.endswith("/"), opened)
        except WrongKind:
            await _close(opened)
            raise NotFound("a name in the middle is no directory") from None
        except (Failure, Moved):
            await _close(opened)
            raise

    async def _find(self, names: list[str], wants_directory: bool, opened: list[File | Directory]) -> Page:
        directory = self.root
        for name in names if wants_directory else names[:-1]:
            directory = await directory.directory(name, READ)
            opened.append(directory)
        if wants_directory:
            try:
                return await _file_page(directory, INDEX, opened)
            except NotFound:
                content = (await _list(directory)).encode()
                return Page("text/html; charset=utf-8", len(content), content, opened=opened)
        if (await directory.info(names[-1])).kind is Kind.DIRECTORY:
            raise Moved
        return await _file_page(directory, names[-1], opened)


async def _file_page(directory: Directory, name: str, opened: list[File | Directory]) -> Page:
    file = await directory.open(name, READ)
    opened.append(file)
    return Page(kind_of(name), (await file.info()).size, file=file, opened=opened)


async def _close(opened: list[File | Directory]) -> None:
    """The last first: what was opened through a cap is closed with it."""
    while opened:
        await let_go(opened.pop())


def path_in(target: str) -> str:
    """The path in a request's target, without its query. Raises Malformed for a target that has none.

    A target is a path, or a whole URL (RFC 9112, 3.2.2), of whatever host: there is one site here.
    """
    whole = _WHOLE_URL.match(target)
    path = (target[whole.end() :] if whole else target).partition("?")[0]
    if whole and not path:
        return "/"
    if not path.startswith("/"):
        raise Malformed("the target is no path")
    return path


def names_in(path: str) -> list[str]:
    """The names in a path that begins with a slash. Raises Malformed for one that tries to be another."""
    parts = path[1:].split("/")
    if parts[-1] == "":
        parts.pop()
    if len(parts) > MAX_DEPTH:
        raise Malformed("the path is too long")
    try:
        return [checked_name(unquote_to_bytes(part).decode()) for part in parts]
    except UnicodeDecodeError:
        raise Malformed("a name is UTF-8") from None


def kind_of(name: str) -> str:
    """The media type that a name promises."""
    return _KINDS.get(name.rpartition(".")[2].lower(), "application/octet-stream")


_KINDS: Final = {
    "css": "text/css; charset=utf-8", "gif": "image/gif", "htm": "text/html; charset=utf-8",
    "html": "text/html; charset=utf-8", "ico": "image/x-icon", "jpeg": "image/jpeg", "jpg": "image/jpeg",
    "js": "text/javascript; charset=utf-8", "json": "application/json", "md": "text/markdown; charset=utf-8",
    "pdf": "application/pdf", "png": "image/png", "svg": "image/svg+xml", "txt": "text/plain; charset=utf-8",
    "wasm": "application/wasm", "xml": "application/xml", "zip": "application/zip",
}  # fmt: skip


async def _list(directory: Directory) -> str:
    entries: list[Entry] = []
    while len(entries) < MAX_ENTRIES and (more := await directory.list(len(entries))):
        entries += more
    rows = "".join(f'<li><a href="{_link(entry)}">{html.escape(_shown(entry))}</a>\n' for entry in entries)
    return f"<!doctype html><title>files</title><ul>\n{rows}</ul>\n"


def _link(entry: Entry) -> str:
    return html.escape("./" + quote(entry.name, safe="") + ("/" if entry.kind is Kind.DIRECTORY else ""))


def _shown(entry: Entry) -> str:
    return f"{entry.name}/" if entry.kind is Kind.DIRECTORY else f"{entry.name} ({entry.size})"
