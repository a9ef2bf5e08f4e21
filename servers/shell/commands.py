"""What one can type. A command is a coroutine that gets the shell and its arguments; its docstring is its help."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from capkernel.protocols.audit import AuditReader
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import AlreadyExists, Failure, Malformed, NoSpace, NotFound
from capkernel.protocols.files import INLINE, READ_WRITE, Directory, File, Kind
from capkernel.protocols.log import LogReader
from capkernel.protocols.mounts import Mounts
from capkernel.protocols.names import NameSpace
from capkernel.protocols.network import Network
from capkernel.protocols.paging import Pager
from capkernel.protocols.supervision import Supervision
from capkernel.protocols.usage import Usage
from capkernel.user.process import PROGRAM
from servers.net.closing import let_go
from servers.shell.described import Description
from servers.shell.gifts import Gift, Giver
from servers.shell.jobs import Job, Jobs
from servers.shell.paths import Paths
from servers.storage.mirror_status import status_at

CHUNK: Final = INLINE
"""Bytes at a time: the shell's caps come through the server of the root, and share no memory with who answers."""
PING_PATIENCE: Final = 2_000


class Shell(Protocol):
    """What commands see of the shell: what it holds, and what it can do. ``network`` is None if there is none."""

    paths: Paths
    root: Mounts
    supervision: Supervision
    timer: Timer
    network: Network | None
    jobs: Jobs
    giver: Giver
    pager: Pager
    usage: Usage
    clock: RealTimeClock
    entropy: Entropy
    log_reader: LogReader
    audit_reader: AuditReader
    names: NameSpace
    bound: dict[str, Gift]

    @property
    def history(self) -> list[str]:
        """What was typed."""
        ...

    @property
    def description(self) -> Description:
        """The system's description."""
        ...

    async def say(self, text: str) -> None:
        """Put out lines."""
        ...

    async def log(self, text: str) -> None:
        """Put a line into the log, as a warning."""
        ...

    async def record(self, text: str) -> None:
        """Put a line into the audit trail; it lasts when this returns."""
        ...

    async def watch(self, job: Job) -> None:
        """Hear of the end of a job."""
        ...

    async def attend(self, job: Job, *, is_killed: bool = True) -> None:
        """Wait for the end of a job and report it. ^C kills it, or else ends the waiting."""
        ...

    async def why(self) -> list[str]:
        """Why the last command was refused, or a process came to grief, whatever was last."""
        ...

    def came_to_grief(self, job: Job) -> None:
        """A process ended by a fault: what there is to be asked about now."""
        ...

    def leave(self) -> None:
        """This was the last command."""
        ...


Command = Callable[..., Awaitable[None]]
COMMANDS: Final[dict[str, Command]] = {}


def command(name: str) -> Callable[[Command], Command]:
    """Enter a command into the table."""

    def enter(function: Command) -> Command:
        COMMANDS[name] = function
        return function

    return enter


def usage(name: str) -> str:
    """How a command is typed, from its parameters."""
    words = [name]
    for parameter in list(inspect.signature(COMMANDS[name]).parameters.values())[1:]:
        text = parameter.name.upper()
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            text = f"[{text}]..."
        elif parameter.default is not inspect.Parameter.empty:
            text = f"[{text}]"
        words.append(text)
    return " ".join(words)


async def run(shell: Shell, words: list[str]) -> None:
    """Run a command. Raises Malformed if there is none of that name or the arguments are wrong, and what it raises."""
    name, *arguments = words
    if name not in COMMANDS:
        raise Malformed(f"there is no command {name!r}; `help` lists them")
    try:
        inspect.signature(COMMANDS[name]).bind(shell, *arguments)
    except TypeError:
        raise Malformed(f"usage: {usage(name)}") from None
    await COMMANDS[name](shell, *arguments)


@command("help")
async def help_(shell: Shell, name: str = "") -> None:
    """Say what there is, or what a command does."""
    if name in COMMANDS:
        await shell.say(f"{usage(name)}\n{inspect.getdoc(COMMANDS[name])}")
        return
    names = sorted(COMMANDS)
    width = max(len(usage(each)) for each in names)
    rows = [f"{usage(each):<{width}}  {(inspect.getdoc(COMMANDS[each]) or '').splitlines()[0]}" for each in names]
    await shell.say("\n".join(rows))


@command("ls")
async def ls(shell: Shell, path: str = ".") -> None:
    """List a directory."""
    directory = await shell.paths.directory(path)
    try:
        rows = [
            f"{'d' if entry.kind is Kind.DIRECTORY else '-'} {entry.size:>9}  {entry.name}"
            for entry in await entries(directory)
        ]
    finally:
        await shell.paths.done(directory)
    if rows:
        await shell.say("\n".join(rows))


async def entries(directory: Directory) -> list[Any]:
    """All names in a directory."""
    found: list[Any] = []
    while more := await directory.list(len(found)):
        found += more
    return found


@command("cd")
async def cd(shell: Shell, path: str = "/") -> None:
    """Go to another directory."""
    await shell.paths.done(await shell.paths.directory(path))
    shell.paths.here = shell.paths.names_of(path)


@command("pwd")
async def pwd(shell: Shell) -> None:
    """Say where this is."""
    await shell.say("/" + "/".join(shell.paths.here))


@command("cat")
async def cat(shell: Shell, path: str) -> None:
    """Show a file. A line of 800 bytes and more comes out as several."""
    file = await shell.paths.file(path)
    try:
        text = (await content(file)).decode(errors="replace")
    finally:
        await file.drop()
    await shell.say(text)


async def content(file: File) -> bytes:
    """All of a file."""
    data = b""
    while part := await file.read(len(data), CHUNK):
        data += part
    return data


@command("write")
async def write(shell: Shell, path: str, *text: str) -> None:
    """Put a line of text into a file, in place of what was there; it lasts."""
    await save(shell, path, (" ".join(text) + "\n").encode(), is_added=False)


@command("append")
async def append(shell: Shell, path: str, *text: str) -> None:
    """Put a line of text behind what is in a file; it lasts."""
    await save(shell, path, (" ".join(text) + "\n").encode(), is_added=True)


async def save(shell: Shell, path: str, data: bytes, *, is_added: bool) -> None:
    """Write a file, new if there is none, and make it last. For want of room it stays as it was."""
    parent, name = await shell.paths.parent(path)
    try:
        try:
            file, is_new = await parent.create(name), True
        except AlreadyExists:
            file, is_new = await parent.open(name, READ_WRITE), False
        try:
            await _put(file, data, is_added=is_added)
        except NoSpace:
            if is_new:
                await parent.remove(name)
            raise
        finally:
            await file.drop()
    finally:
        await shell.paths.done(parent)


async def _put(file: File, data: bytes, *, is_added: bool) -> None:
    """Put this behind what is in a file, or in its place: first what is behind its end, as that can be taken back."""
    size = (await file.info()).size
    kept, last = (size, size + len(data)) if is_added else (0, len(data))
    try:
        for start, end in ((max(kept, size), last), (kept, min(size, last))):
            for offset in range(start, end, CHUNK):
                await file.write(offset, data[offset - kept : min(offset + CHUNK, end) - kept])
    except NoSpace:
        await file.resize(size)
        raise
    if last < size:
        await file.resize(last)
    await file.sync()


@command("cp")
async def cp(shell: Shell, source: str, target: str) -> None:
    """Copy a file."""
    file = await shell.paths.file(source)
    try:
        data = await content(file)
    finally:
        await file.drop()
    await save(shell, target, data, is_added=False)


@command("mv")
async def mv(shell: Shell, source: str, target: str) -> None:
    """Move something: in one step within a file server's directories, else a file by copying it."""
    old, name = await shell.paths.parent(source)
    new, new_name = await shell.paths.parent(target)
    try:
        await old.rename(name, new, new_name)
    except Malformed:
        if (await old.info(name)).kind is Kind.DIRECTORY:
            raise
        # The other directory is another server's; this is not done in one step.
        await cp(shell, source, target)
        await old.remove(name)
    finally:
        await shell.paths.done(old)
        await shell.paths.done(new)


@command("rm")
async def rm(shell: Shell, path: str) -> None:
    """Remove a file, or an empty directory."""
    parent, name = await shell.paths.parent(path)
    try:
        await parent.remove(name)
    finally:
        await shell.paths.done(parent)


@command("mkdir")
async def mkdir(shell: Shell, path: str) -> None:
    """Make a directory."""
    parent, name = await shell.paths.parent(path)
    try:
        await (await parent.make_directory(name)).drop()
    finally:
        await shell.paths.done(parent)


@command("df")
async def df(shell: Shell) -> None:
    """Say how full the disk is: what a file may still take, what is kept back for the audit trail, and the rest, which
    is for directories and what is not synced.
    """
    space = await shell.paths.root.space()
    rest = max(0, space.total - space.used - space.available - space.reserve)
    await shell.say(
        f"{space.used} of {space.total} bytes are used ({100 * space.used // space.total} %)\n"
        f"{space.available} are available, {space.reserve} are kept back, {rest} are for directories"
    )


@command("mounts")
async def mounts(shell: Shell) -> None:
    """List what is mounted in the root directory, and if the disk is a mirror, whether both halves are in step."""
    lines = [f"/{name}" for name in await shell.root.mounted()] or ["nothing is mounted"]
    if (place := shell.description.place_of("shell", "mirror_status")) is not None:
        lines.append(f"the disk is {(await status_at(place)).words()}")
    await shell.say("\n".join(lines))


@command("mount")
async def mount(shell: Shell, path: str, name: str) -> None:
    """Mount a directory in the root under another name, too."""
    directory = await shell.paths.directory(path, READ_WRITE)
    given = await directory.derive()
    try:
        await shell.root.mount(name, given)
    finally:
        await given.forget()
        await shell.paths.done(directory)


@command("unmount")
async def unmount(shell: Shell, name: str) -> None:
    """Take away what is mounted."""
    await shell.root.unmount(name)


@command("services")
async def services(shell: Shell) -> None:
    """List what the supervisor watches over."""
    rows = [f"{'service':10} {'state':26} {'life':>4} {'crashes':>7} {'program':>7}"]
    for each in await shell.supervision.services():
        rows.append(
            f"{each.label:10} {each.state.value:26} {each.incarnation:>4} {each.crashes:>7} {each.alternative:>7}"
        )
    await shell.say("\n".join(rows))


async def life_of(shell: Shell, service: str) -> int:
    """In which life a service is. Raises NotFound."""
    for each in await shell.supervision.services():
        if each.label == service:
            return each.incarnation
    raise NotFound(f"there is no service {service!r}; `services` lists them")


@command("uptime")
async def uptime(shell: Shell) -> None:
    """Say how long the machine has been running, in its own time."""
    await shell.say(f"{await shell.timer.now() / 1e6:.6f} s")


@command("sleep")
async def sleep(shell: Shell, milliseconds: str) -> None:
    """Wait."""
    if not milliseconds.isdecimal():
        raise Malformed(f"{milliseconds!r} is no number of milliseconds")
    await shell.timer.sleep(1000 * int(milliseconds))


@command("ping")
async def ping(shell: Shell, host: str) -> None:
    """Ask a machine in the network for a sign of life."""
    network = network_of(shell)
    address = await address_of(network, host)
    pinger = await network.pinger(address)
    try:
        answer = await pinger.ping(b"capkernel", PING_PATIENCE)
    finally:
        await pinger.drop()
    await shell.say(f"{host} ({address}) answers after {answer.after_us / 1000:.3f} ms")


@command("resolve")
async def resolve(shell: Shell, host: str) -> None:
    """Ask the name server for a name's addresses."""
    resolver = await network_of(shell).resolver()
    try:
        await shell.say(" ".join(await resolver.resolve(host)))
    finally:
        await resolver.drop()


@command("curl")
async def curl(shell: Shell, url: str, target: str = "") -> None:
    """Fetch a page, and show it or put it into a file."""
    from servers.net.http_client import address_of_url, get

    place = address_of_url(url if "//" in url else f"http://{url}")
    network = network_of(shell)
    dialer = await network.dialer(await address_of(network, place.host), place.port)
    try:
        stream = await dialer.connect(5 * PING_PATIENCE)
        try:
            page = await get(stream, place.authority, place.target)
        finally:
            await let_go(stream)
    finally:
        await dialer.drop()
    if target:
        await save(shell, target, page.body, is_added=False)
        await shell.say(f"{page.status}, {len(page.body)} bytes")
    else:
        await shell.say(page.body.decode(errors="replace"))


def network_of(shell: Shell) -> Network:
    """The network. Raises NotFound."""
    if shell.network is None:
        raise NotFound("this system has no network")
    return shell.network


async def address_of(network: Network, host: str) -> str:
    """An address, asked for if it is a name."""
    if all(part.isdecimal() for part in host.split(".")):
        return host
    resolver = await network.resolver()
    try:
        return (await resolver.resolve(host))[0]
    finally:
        await resolver.drop()


@command("why")
async def why(shell: Shell, pid: str = "") -> None:
    """Say why the last command was refused, by whom, and who could grant it; or how a process ended, and with what.

    Without a number, of what came last.
    """
    await shell.say("\n".join(end_of(shell.jobs.find(pid)) if pid else await shell.why()))


def end_of(job: Job) -> list[str]:
    """How a process ended, and what it was given."""
    lines = [f"Process {job.number}, {job.name}, {job.ending}."]
    if job.status is not None and job.status.pc:
        lines.append(f"It was at {job.status.pc:#x}; its program lies from {PROGRAM:#x} on if it is Python.")
    lines += [f"It was given {name}: {gift.words}" for name, gift in job.gifts.items()] or ["It was given nothing."]
    return [*lines, "Beyond that it had its memory, its own CSpace, and a cap to say that it is over."]


@command("history")
async def history(shell: Shell) -> None:
    """List what was typed."""
    if shell.history:
        await shell.say("\n".join(f"{number:>4}  {line}" for number, line in enumerate(shell.history, 1)))


@command("exit")
async def exit_(shell: Shell) -> None:
    """Leave the shell, and switch the machine off."""
    shell.leave()


def describe(failure: Failure) -> str:
    """A failure in one line."""
    return f"{type(failure).__name__}: {failure}"
