"""The first process: starts a pipeline, ends a child, and lets a wrecker do what POSIX lets it do; reports what it saw.

A POSIX server that dies takes all processes with it; then it is begun anew, with the files as they are.
"""

from collections.abc import Awaitable, Callable

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.posix import O_APPEND, O_RDONLY, O_WRONLY, SIGKILL, SIGTERM, Errno, Posix
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.posix.libc import Libc

report: int = 0

SERVER = 0
(DONE, COUNTED, EXITS, SIGNALLED, ERRORS, ORPHAN, HARM, DIARY, VICTIM, KEPT, AGAIN) = range(11)
"""Words of the report: the end; what the pipeline counted; how many of it exited with 0; the signal by which a child
ended; how many of the errors that were to come came; whether a file that was removed while it was open could be read
on; what the wrecker had done; whether the diary was still there; the signal by which its victim ended; what a file that
was synced contained in the end; how often it was begun anew.
"""
PROGRAMS = ("upper", "wc", "concatenate", "spinner", "wrecker")
MOST_PIDS = 64
POEM = b"the sea is calm tonight\nthe tide is full\n" * 20


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Until it went through without the server's death."""
        again = 0
        while True:
            libc = Libc(connect(Posix, Connection(pd.sys), BASE_ENDPOINT_CAP + SERVER))
            words = [0] * (AGAIN + 1)
            try:
                await self._play(libc, words)
            except (Failure, OSError) as error:
                again += 1
                await pd.print(f"init: {type(error).__name__}: {error}; once more\n")
                await pd.compute(20_000)
                continue
            words[DONE], words[AGAIN] = 1, again
            for place, word in reversed(list(enumerate(words))):
                await pd.store(report + 8 * place, word)
            return

    async def _play(self, libc: Libc, words: list[int]) -> None:
        await _clean_up(libc)
        await _prepare(libc)
        words[COUNTED], words[EXITS] = await _pipeline(libc)
        child = await libc.spawn("bin/spinner", ["spinner"], [])
        await libc.kill(child, SIGTERM)
        words[SIGNALLED] = (await libc.waitpid(child)).signal
        words[ERRORS] = await _errors(libc)
        words[ORPHAN] = await _orphan(libc)
        victim = await libc.spawn("/bin/spinner", ["victim"], [])
        wrecker = await libc.spawn("/bin/wrecker", ["wrecker"], [])
        ending = await libc.waitpid(wrecker)
        if ending.signal:
            raise OSError(Errno.EIO, "the wrecker was killed")
        words[HARM] = ending.code
        words[VICTIM] = (await libc.waitpid(victim)).signal
        words[DIARY] = await _exists(libc, "/home/diary")
        await libc.mkdir("/after")
        await libc.put("/after/note", b"7")
        words[KEPT] = int(await libc.get("/after/note"))


async def _clean_up(libc: Libc) -> None:
    """Whatever is left of what was begun before: open files, and children."""
    for fd in range(8):
        await libc.posix.close(fd)
    await libc.chdir("/")
    while True:
        try:
            if not (await libc.waitpid(hang=False)).pid:
                for pid in range(2, MOST_PIDS):
                    await libc.posix.kill(pid, SIGKILL)
        except ChildProcessError:
            return


async def _prepare(libc: Libc) -> None:
    for directory in ("/bin", "/home"):
        if not await _exists(libc, directory):
            await libc.mkdir(directory)
    if await _exists(libc, "/after/note"):
        await libc.unlink("/after/note")
    if await _exists(libc, "/after"):
        await libc.rmdir("/after")
    for name in PROGRAMS:
        await libc.put(f"/bin/{name}", f"#!capkernel posix_{name}\n".encode())
    await libc.put("/home/diary", b"dear diary")
    await libc.put("/home/poem", POEM)


async def _exists(libc: Libc, path: str) -> bool:
    try:
        await libc.stat(path)
    except FileNotFoundError:
        return False
    return True


async def _pipeline(libc: Libc) -> tuple[int, int]:
    """``cat poem poem | tr a-z A-Z | wc -c``: what it counts, and how many exit with 0. Raises OSError."""
    (first_out, first_in), (second_out, second_in), (last_out, last_in) = [await libc.pipe() for _ in range(3)]
    await libc.chdir("/home")
    children = [
        await libc.spawn("../bin/concatenate", ["concatenate", "poem", "/home/poem"], [last_out, first_in]),
        await libc.spawn("../bin/upper", ["upper"], [first_out, second_in]),
        await libc.spawn("/bin/wc", ["wc"], [second_out, last_in]),
    ]
    await libc.chdir("/")
    for fd in (first_out, first_in, second_out, second_in, last_in):
        await libc.close(fd)
    said = await libc.read_all(last_out)
    await libc.close(last_out)
    endings = [await libc.waitpid(child) for child in children]
    if any(ending.signal for ending in endings):
        raise OSError(Errno.EIO, "the pipeline was killed")
    return int(said), sum(not ending.code and not ending.signal for ending in endings)


async def _errors(libc: Libc) -> int:
    """How many calls fail as they should."""
    seen = 0
    calls: tuple[tuple[Callable[[], Awaitable[object]], type[OSError]], ...] = (
        (lambda: libc.spawn("/home/poem", ["poem"], []), OSError),
        (lambda: libc.spawn("/bin/nothing", ["nothing"], []), FileNotFoundError),
        (lambda: libc.open("/home/poem/verse"), NotADirectoryError),
        (lambda: libc.open("/home", O_WRONLY), IsADirectoryError),
        (lambda: libc.waitpid(-1), ChildProcessError),
        (lambda: libc.kill(9_999, 0), ProcessLookupError),
    )
    for call, error in calls:
        try:
            await call()
        except error:
            seen += 1
    reading, writing = await libc.pipe()
    await libc.close(reading)
    try:
        await libc.write(writing, b"to nobody")
    except BrokenPipeError:
        seen += 1
    await libc.close(writing)
    return seen


async def _orphan(libc: Libc) -> bool:
    """Whether a file that has no name any more can be written and read by who has it open."""
    await libc.put("/home/orphan", b"still ")
    writing, reading = await libc.open("/home/orphan", O_WRONLY | O_APPEND), await libc.open("/home/orphan", O_RDONLY)
    await libc.unlink("/home/orphan")
    await libc.write(writing, b"here")
    # What is not synced goes with the file server if that dies; this says so, and all is begun anew.
    await libc.fsync(writing)
    found = await libc.read_all(reading)
    await libc.close(writing)
    await libc.close(reading)
    return found == b"still here" and not await _exists(libc, "/home/orphan")
