"""Starting processes, and being one: what ``processes`` and ``user.process`` have, put together for programs.

    child = await spawn(launcher, program, ["-v"], {"input": file, "log": log})
    status = await child.wait()

Whoever gives a cap away gives a derived one (``Interface.derive``), to be able to take it back.

If the process server dies meanwhile, the process runs, or nothing is left of it and the failure is ``ServerDied`` (or
``Gone``, if it had been answered for): then one may ask again. Who waits when it dies asks again, too: ``ending``.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import frozen

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import Failure, Gone, ServerDied
from capkernel.protocols.files import File
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.processes import Launcher, Process, State, Status
from capkernel.user import process as user

I = TypeVar("I", bound=Interface)  # noqa: E741


@frozen
class Share:
    """In a list of caps: a launcher for the process itself, with so much of the quota from which the process comes."""

    memory: int
    processes: int


async def spawn(
    launcher: Launcher, program: File, arguments: list[str], caps: Mapping[str, Any] | None = None, *,
    name: str = "", slots: bool = False, heap: int = 0, segment: Any = None,
) -> Process:  # fmt: skip
    """Start a process with just these caps, by name: stubs, addresses of caps, or a ``Share``.

    ``slots`` says that it can receive caps. Its heap is zeros, or a ``segment`` of the pager's.
    If anything is refused nothing is left. Raises failures.
    """
    process = await prepared(launcher, program, caps, name=name or (arguments[0] if arguments else "process"))
    try:
        if slots:
            await process.give_slots()
        if segment is not None:
            await process.page(Cap(segment.cap))
        await start(process, arguments, heap)
    except Exception:
        await give_up(process)
        raise
    return process


async def start(process: Process, arguments: list[str], heap: int = 0) -> None:
    """Start one that is prepared, once: if the server dies over that it runs, or is as it was, or is gone. Raises
    failures.
    """
    while True:
        try:
            await process.start(arguments, heap)
            return
        except ServerDied as death:
            try:
                status = await insist(process.status)
            except Gone:
                raise death from None
            if status is None or status.state is not State.PREPARED:
                return


async def prepared(
    launcher: Launcher, program: File, caps: Mapping[str, Any] | None = None, *, name: str = "process"
) -> Process:
    """A process with its program and these caps, as ``spawn`` takes them, not started yet. Raises failures."""
    process = await launcher.create(name)
    try:
        await process.load(program)
        for cap_name, cap in (caps or {}).items():
            if isinstance(cap, Share):
                await process.give_launcher(cap_name, cap.memory, cap.processes)
            else:
                await process.give(cap_name, Cap(cap.cap if isinstance(cap, Stub) else cap))
    except Exception:
        await give_up(process)
        raise
    return process


async def give_up(process: Process) -> None:
    """Give up the cap to a process, which is then over, whatever becomes of its server meanwhile."""
    try:
        await insist(process.drop)
    except Failure:
        # The server does not know it any more; the cap to it is here.
        if isinstance(process, Stub):
            await process.forget()


async def ending(process: Process) -> Status:
    """Wait until a process has ended, whatever becomes of its server meanwhile."""
    while True:
        try:
            return await process.wait()
        except ServerDied:
            continue


async def killed(process: Process) -> Status:
    """End a process, whatever becomes of its server meanwhile; returns how it ended."""
    while True:
        try:
            return await process.kill()
        except ServerDied:
            continue


def given(interface: Callable[..., I], process: user.Process, name: str) -> I:
    """In a process: a cap that it was given, as an object. Raises MissingCap."""
    return connect(interface, Connection(process.sys, process.inbox), process.cap(name))
