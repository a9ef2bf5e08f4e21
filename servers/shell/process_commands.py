"""Commands for processes: starting them with just the caps that are named, looking at them, giving and taking back."""

from typing import Any, Final

from attrs import define, field

from capkernel.protocols.failures import Failure, Gone, Malformed, NotFound, ServerDied
from capkernel.protocols.files import File
from capkernel.protocols.memory import PAGE
from capkernel.protocols.processes import HeldCap, ProcessInfo, State
from capkernel.user.process import SLOTS
from servers.net.closing import let_go
from servers.shell.commands import Shell, command, life_of
from servers.shell.gifts import Gift, size_of
from servers.shell.jobs import Job

BIN: Final = "/bin"
WITH, BACKGROUND, HEAP, PAGED = "with", "&", "heap", "paged"


@define
class Order:
    """What is to be run, as it was typed."""

    file: str
    arguments: list[str]
    gifts: dict[str, str] = field(factory=dict)
    heap: str = ""
    in_background: bool = False


def parse_run(words: list[str]) -> Order:
    """The words of ``run``: FILE, arguments, ``with`` NAME=WHAT and so on, ``&`` at the end. Raises Malformed."""
    in_background = words[-1:] == [BACKGROUND]
    words = words[:-1] if in_background else words
    if not words:
        raise Malformed("run what? usage: run FILE [ARGS]... [with NAME=WHAT...] [&]")
    cut = words.index(WITH) if WITH in words else len(words)
    order = Order(words[0], words[1:cut], in_background=in_background)
    for word in words[cut + 1 :]:
        name, equals, what = word.partition("=")
        if not equals or not name or not what:
            raise Malformed(f"{word!r} does not say NAME=WHAT; `help run` says what there is")
        if name in (*order.gifts, SLOTS) or (name == HEAP and order.heap):
            raise Malformed(f"the name {name!r} is taken")
        if name == HEAP:
            order.heap = what
        else:
            order.gifts[name] = what
    if cut == 0:
        raise Malformed("run what? a file comes first")
    return order


@command("run")
async def run(shell: Shell, file: str, *words: str) -> None:
    """Run a program: run FILE [ARGS]... [with NAME=WHAT...] [&]. It has the caps that are named, and no others.

    WHAT is PATH (to read), PATH:rw or PATH:w; console, keys, log; dial:HOST:PORT, listen:PORT, ping:HOST;
    launcher:BYTES:COUNT; memory:BYTES; names:A,B. heap=BYTES gives it memory, heap=paged:BYTES:FRAMES paged memory.
    A name without a slash that is not here is looked for in /bin. With & it runs in the background. ^C ends it.
    """
    order = parse_run([file, *words])
    program = await _program(shell, order.file)
    gifts: dict[str, Gift] = {}
    segment: Any = None
    try:
        heap, segment = await _heap(shell, order.heap)
        name = order.file.rpartition("/")[2]
        for each, what in order.gifts.items():
            gifts[each] = await shell.giver.make(what, name, in_front=not order.in_background)
        job = await shell.jobs.start(name, program, order.arguments, gifts, heap=heap, segment=segment)
    except Exception:
        for gift in gifts.values():
            await gift.take_back()
        raise
    finally:
        await let_go(program)
        if segment is not None:
            await let_go(segment)
    given = ", ".join(f"{each}: {gift.words}" for each, gift in gifts.items()) or "nothing"
    await shell.record(f"process {job.number}, {job.name}, was started with {given}")
    await shell.watch(job)
    if order.in_background:
        await shell.say(f"[{job.number}] {job.name} runs in the background")
    else:
        await shell.attend(job)


async def _program(shell: Shell, path: str) -> File:
    """A program's file."""
    try:
        return await shell.paths.file(path)
    except NotFound:
        if "/" in path:
            raise
    return await shell.paths.file(f"{BIN}/{path}")


async def _heap(shell: Shell, text: str) -> tuple[int, Any]:
    """A heap's size, or a segment of the pager's."""
    if not text.startswith(f"{PAGED}:"):
        return (size_of(text) if text else 0), None
    size, _, frames = text.partition(":")[2].partition(":")
    if not frames.isascii() or not frames.isdecimal():
        raise Malformed(f"{frames!r} is no number of frames")
    return 0, await shell.pager.zeros(size_of(size), int(frames))


@command("ps")
async def ps(shell: Shell) -> None:
    """List the processes: their numbers, who started them, their memory in bytes, what they were given."""
    rows = [f"{'pid':>4} {'parent':>6} {'state':9} {'memory':>8}  {'name':12} given"]
    for each in await running(shell):
        job = shell.jobs.running.get(each.number)
        given = ", ".join(f"{name}={gift.what}" for name, gift in job.gifts.items()) if job else ""
        rows.append(
            f"{each.number:>4} {each.parent or '-':>6} {each.state.value:9} {each.memory:>8}  {each.name:12} {given}"
        )
    await shell.say("\n".join(rows) if len(rows) > 1 else "no process runs")


async def running(shell: Shell) -> list[ProcessInfo]:
    """All processes."""
    found: list[ProcessInfo] = []
    while more := await shell.jobs.launcher.processes(found[-1].number if found else 0):
        found += more
    return found


@command("wait")
async def wait(shell: Shell, pid: str) -> None:
    """Wait until a process has ended."""
    job = shell.jobs.find(pid)
    if job.status is None:
        await shell.attend(job, is_killed=False)
    else:
        await report(shell, job)


async def report(shell: Shell, job: Job) -> None:
    """Say how a process ended, and log it if it came to grief."""
    text = f"[{job.number}] {job.name} {job.ending}"
    await shell.say(text)
    if job.status is not None and job.status.state is State.FAULTED:
        shell.came_to_grief(job)
        await shell.log(text)


@command("kill")
async def kill(shell: Shell, pid_or_service: str) -> None:
    """End a process; or a service, which the supervisor starts anew."""
    if pid_or_service.isdecimal():
        job = shell.jobs.alive(pid_or_service)
        await shell.jobs.kill(job)
        await shell.record(f"process {job.number}, {job.name}, was killed")
        await report(shell, job)
        return
    before = await life_of(shell, pid_or_service)
    await shell.record(f"service {pid_or_service} is killed")
    await shell.supervision.restart(pid_or_service)
    after = await life_of(shell, pid_or_service)
    await shell.say(f"{pid_or_service}: life {before} ended, life {after} has begun")


@command("caps")
async def caps(shell: Shell, pid_or_service: str) -> None:
    """List the caps of a process as they are now, and whether each still works; or what a service was given."""
    if not pid_or_service.isdecimal():
        await shell.say("\n".join(shell.description.caps_of(pid_or_service)))
        return
    job = shell.jobs.alive(pid_or_service)
    held: list[HeldCap] = []
    while more := await job.process.caps(held[-1].slot + 1 if held else 0):
        held += more
    rows = [f"{'slot':>4}  {'name':12} {'leads to':40} state"]
    for each in (each for each in held if each.name):
        gift = job.gifts.get(each.name)
        words = "its own CSpace, to receive caps" if each.name == SLOTS else gift.words if gift else "?"
        state = "the process deleted it" if not each.is_there else await gift.state() if gift else "works"
        rows.append(f"{each.slot:>4}  {each.name:12} {words:40} {state}")
    rows += [f"{each.slot:>4}  {'':12} {'something that it got by itself':40}" for each in held if not each.name]
    await shell.say("\n".join([*rows, "   1  (to say that it is over)"]))


@command("grant")
async def grant(shell: Shell, pid: str, name: str, what: str) -> None:
    """Give a process that runs a further cap, under a name; WHAT is as for `run`."""
    job = shell.jobs.alive(pid)
    gift = await shell.giver.make(what, job.name)
    try:
        await shell.jobs.grant(job, name, gift)
    except Exception:
        await gift.take_back()
        raise
    await shell.record(f"process {job.number}, {job.name}, was granted {name}: {gift.words}")
    await shell.say(f"process {job.number} has {name}: {gift.words}")


@command("revoke")
async def revoke(shell: Shell, pid: str, name: str) -> None:
    """Take back what a process was given under a name; what it opened through it is closed, too."""
    job = shell.jobs.alive(pid)
    gift = await shell.jobs.revoke(job, name)
    await shell.record(f"process {job.number}, {job.name}, lost {name}: {gift.words}")
    await shell.say(f"process {job.number} has no {name} any more, nor what it opened through it")


@command("top")
async def top(shell: Shell) -> None:
    """Show who used how much processor time, in microseconds of the machine's, and memory of the quota."""
    quota = await shell.jobs.launcher.quota()
    rows = [
        f"processes: {quota.processes_taken} of {quota.processes}; "
        f"memory: {quota.memory_taken} of {quota.memory} bytes, {quota.memory_taken // PAGE} pages",
        f"{'cpu µs':>10} {'memory':>8}  {'pid':>4} name",
    ]
    found = sorted(await running(shell), key=lambda each: (-each.cpu_us, each.number))
    rows += [f"{each.cpu_us:>10} {each.memory:>8}  {each.number:>4} {each.name}" for each in found]
    services = sorted(await shell.usage.consumed(), key=lambda each: (-each.us, each.label))
    rows += [f"{each.us:>10} {'':>8}  {'-':>4} {each.label}, a service" for each in services]
    await shell.say("\n".join(rows))


async def settle(shell: Shell) -> None:
    """See which processes have ended since, and report them."""
    for job in list(shell.jobs.running.values()):
        try:
            if await shell.jobs.look(job):
                await report(shell, job)
        except (ServerDied, Gone, Failure):
            continue
