"""What a process is given: typed as ``NAME=WHAT``, made into a cap that can be taken back.

| what                        | a cap to                                                                              |
|-----------------------------|---------------------------------------------------------------------------------------|
| PATH, PATH:r, PATH:w, PATH:rw | a file or directory, with these rights; to read if nothing is said                  |
| console                     | the terminal, to write lines                                                          |
| keys                        | the terminal's keys, lent until the process ends                                      |
| log                         | the log, as the author "shell/" and the program's name                                |
| dial:HOST:PORT, listen:PORT, ping:HOST | the network: to connect there, to listen, to ping                          |
| launcher:BYTES:COUNT        | a launcher with so much of the shell's quota, so many processes                       |
| memory:BYTES                | an account of memory, with so much of the shell's                                     |
| names:A,B                   | the shell's name space as far as these names go, read-only                            |

A gift has two caps: a *source*, which stays with the shell, and one that is derived from it and given away. To revoke
the source closes the other one, and all that was opened through it, at the server: wherever copies of it went.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

from attrs import define

from capkernel.protocols.client import Stub
from capkernel.protocols.failures import Failure, Malformed, NotFound
from capkernel.protocols.files import READ, Kind
from capkernel.protocols.interface import Cap
from capkernel.protocols.memory import PAGE
from capkernel.protocols.processes import Process
from capkernel.protocols.spawn import Share
from servers.shell.paths import RIGHTS, Paths

KEYS: Final = "keys"
_WHOLE: Final = ("console", KEYS, "log")
"""Words with nothing behind them."""
_DIAL: Final = "dial:HOST:PORT, as in dial:10.0.2.2:7"
_LISTEN: Final = "listen:PORT, as in listen:80"
_PING: Final = "ping:HOST, as in ping:10.0.2.2"
_LAUNCHER: Final = "launcher:BYTES:COUNT, as in launcher:512K:2"
"""What they look like, for who forgets a part."""
_LAST_PORT: Final = 65535
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20}


@define(eq=False)
class Gift:
    """Something that was given: what was typed, what it is in words, and the caps; a ``share`` has none."""

    what: str
    words: str
    source: Any = None
    lent: Any = None
    share: Share | None = None

    async def take_back(self) -> None:
        """End it at its server, with all that was opened through it, and give up both caps."""
        if self.source is not None:
            for end in (self.source.revoke, self.source.drop):
                with suppress(Failure):
                    await end()
        await self.let_go()

    async def let_go(self) -> None:
        """Give up both caps without a word to the server."""
        for stub in (self.source, self.lent):
            if isinstance(stub, Stub):
                await stub.forget()

    async def put(self, process: Process, name: str) -> None:
        """Give it to a process."""
        if self.share is not None:
            await process.give_launcher(name, self.share.memory, self.share.processes)
        else:
            await process.give(name, Cap(self.lent.cap))

    async def state(self) -> str:
        """Whether it still leads anywhere, found out by asking for another cap to the same."""
        if self.lent is None:
            return "part of the shell's launcher"
        try:
            await (await self.lent.derive()).drop()
        except Failure as failure:
            return f"dead ({type(failure).__name__}: {failure})"
        return "works"


def size_of(text: str) -> int:
    """A number of bytes as it is typed: 4096, 64K, 1M; in whole pages. Raises Malformed."""
    digits, unit = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 1)
    if not digits.isascii() or not digits.isdecimal() or not int(digits) or int(digits) * unit % PAGE:
        raise Malformed(f"{text!r} is no size: it is a number of bytes, or with K or M, in whole pages of {PAGE} bytes")
    return int(digits) * unit


class Giver:
    """Makes gifts out of what the shell has. ``things`` are its caps by the words for them."""

    def __init__(self, paths: Paths, things: dict[str, Any], address: Callable[[str], Awaitable[str]]) -> None:
        self.paths = paths
        self.things = things
        self.address = address
        self._accounts = count(1)

    async def make(self, what: str, program: str, *, in_front: bool = False) -> Gift:
        """A gift for a program of that name. Raises failures; then nothing is left.

        The keys are only for a program ``in_front``, which the shell waits for: it needs them itself.
        """
        kind, colon, rest = what.partition(":")
        maker: Callable[[str, str], Awaitable[tuple[Any, str]]] | None = {
            "console": self._console, KEYS: self._keys, "log": self._log, "dial": self._dial, "listen": self._listen,
            "ping": self._ping, "memory": self._memory, "names": self._names,
        }.get(kind)  # fmt: skip
        if colon and kind in _WHOLE:
            raise Malformed(f"{what!r}: nothing stands behind {kind!r}; `help run` says what there is")
        if kind == "launcher":
            return Gift(what, f"a launcher: {rest}", share=_share(rest))
        if kind == KEYS and not in_front:
            raise Malformed("the keys can be lent to a program that runs in the foreground, from its start")
        source, words = await (self._path(what) if maker is None else maker(rest if colon else "", program))
        try:
            return Gift(what, words, source, await source.derive())
        except Failure:
            await source.drop()
            raise

    async def _path(self, what: str) -> tuple[Any, str]:
        path, _, letters = what.rpartition(":")
        if letters not in RIGHTS or not path:
            path, letters = what, "r"
        if not path:
            raise Malformed("a cap is given as NAME=PATH, NAME=PATH:rw, NAME=console, …; `help run` says more")
        rights, names = RIGHTS[letters], self.paths.names_of(path)
        full = f"/{'/'.join(names)} ({letters})"
        if not names:
            return await self.paths.root.restrict(rights), f"directory {full}"
        parent, name = await self.paths.parent(path, READ)
        try:
            kind = (await parent.info(name)).kind
        except NotFound as failure:
            if ":" not in name:
                raise
            raise NotFound(f"{failure}; rights are :r, :w or :rw") from None
        finally:
            await self.paths.done(parent)
        if kind is Kind.DIRECTORY:
            return await self.paths.directory(path, rights), f"directory {full}"
        return await self.paths.file(path, rights), f"file {full}"

    async def _console(self, rest: str, program: str) -> tuple[Any, str]:
        return await self._thing("console").derive(), "the terminal, to write"

    async def _keys(self, rest: str, program: str) -> tuple[Any, str]:
        return await self._thing(KEYS).lend(), "the terminal's keys"

    async def _log(self, rest: str, program: str) -> tuple[Any, str]:
        return await self._thing("log").named(program), f"the log, as shell/{program}"

    async def _dial(self, rest: str, program: str) -> tuple[Any, str]:
        host, colon, port = rest.rpartition(":")
        number = _port(port if colon else "", _DIAL)
        _need(host, "the host", _DIAL)
        return await self._thing("network").dialer(await self.address(host), number), f"connect to {host}:{port}"

    async def _listen(self, rest: str, program: str) -> tuple[Any, str]:
        number = _port(rest, _LISTEN)
        return await self._thing("network").listener(number), f"listen on port {rest}"

    async def _ping(self, rest: str, program: str) -> tuple[Any, str]:
        _need(rest, "the host", _PING)
        return await self._thing("network").pinger(await self.address(rest)), f"ping {rest}"

    async def _memory(self, rest: str, program: str) -> tuple[Any, str]:
        size = size_of(rest)
        return await self._thing("memory").split(next(self._accounts), size), f"an account of {size} bytes"

    async def _names(self, rest: str, program: str) -> tuple[Any, str]:
        names = rest.split(",")
        if not all(names):
            raise Malformed("names are names:A,B, one at least")
        return await self._thing("names").restrict(names, False), f"the names {', '.join(names)}"

    def _thing(self, word: str) -> Any:
        if self.things.get(word) is None:
            raise NotFound(f"this system has no {word}")
        return self.things[word]


def _share(text: str) -> Share:
    size, _, processes = text.partition(":")
    _need(size, "the number of bytes", _LAUNCHER)
    _need(processes, "how many processes", _LAUNCHER)
    return Share(size_of(size), _number(processes))


def _need(text: str, what: str, right: str) -> None:
    if not text:
        raise Malformed(f"{what} is missing: it is {right}")


def _port(text: str, right: str) -> int:
    _need(text, "the port", right)
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= _LAST_PORT:
        raise Malformed(f"{text!r} is no port, 1 to {_LAST_PORT}: it is {right}")
    return int(text)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise Malformed(f"{text!r} is no number")
    return int(text)
