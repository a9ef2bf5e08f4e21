"""A host whose tasks' exceptions are messages: thread, then task, then host are asked; then the task is ended.

A thread that faulted is stopped, in no call of this server's. The question carries a send-once right for the answer, so
there is exactly one: an answer, or the news that nobody will give one. Nothing here waits for anybody.
"""

from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from capkernel.abi.flags import WRITE_RESUME
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, Gone, Malformed, NotFound, NotPermitted, TimedOut
from capkernel.protocols.interface import Interface
from capkernel.protocols.mach_exceptions import (
    EXCEPTION_RAISE,
    REGISTERS,
    HostControl,
    Level,
    RaisedException,
    Thread,
    decode_state,
)
from capkernel.protocols.mach_msg import Mail, make_send_once, receive, release, send
from capkernel.protocols.mach_ports import SendRight, Task
from capkernel.protocols.service import Service
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.codec import Word
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_TCB_CAP, PD
from capkernel.user.syscalls import Message
from servers.mach.task_server import FIRST_TASK, TaskHost

NEWS: Final = 1
"""The channel of this server's own task, by which it hears of answers."""
CONTROL: Final = range(20, 24)
"""Channels of those who control all tasks; a task's own has the task's number."""
OWN_TASK, OWN_CNODE, ENDPOINT, FIRST_SLOT, END_SLOT = 300, 301, 302, 400, 500
LEVELS: Final = (Level.THREAD, Level.TASK, Level.HOST)


@define
class Question:
    """An exception that is not answered yet: what it is, whom to ask next, where the answer comes."""

    fault: Message
    port: Any = None
    left: list[Level] = field(factory=lambda: list(LEVELS))


class Exceptions:
    """Whom to ask, and who has been asked."""

    def __init__(self, program: "Program", pd: PD, task: Task) -> None:
        self.program = program
        self.pd = pd
        self.task = task
        self.handlers: dict[tuple[int, Level], Any] = {}
        """By child; the host's under -1."""
        self.questions: dict[int, Question] = {}

    async def set_handler(self, child: int, level: Level, handler: Any) -> None:
        """Ask this port from now on."""
        key = (-1 if level is Level.HOST else child, level)
        former = self.handlers.pop(key, None)
        if former is not None:
            await former.forget()
        self.handlers[key] = handler

    async def raised(self, child: int, fault: Message) -> None:
        """A thread faulted."""
        await self.forget_question(child)
        self.questions[child] = Question(fault)
        await self.ask_next(child)

    async def ask_next(self, child: int) -> None:
        """Ask whoever is next; if there is nobody, end the task."""
        question = self.questions[child]
        while question.left:
            level = question.left.pop(0)
            handler = self.handlers.get((-1 if level is Level.HOST else child, level))
            if handler is not None and await self._ask(child, level, handler, question):
                return
        await self.program.terminate(self.pd, child)

    async def _ask(self, child: int, level: Level, handler: Any, question: Question) -> bool:
        """Whether the question is on its way."""
        code, subcode = [*question.fault.words, 0, 0][:2]
        registers = await self.pd.pd_registers(child)
        about = RaisedException(FIRST_TASK + child, level, question.fault.label, code, subcode, registers)
        question.port = await self.task.allocate(1)
        await question.port.watch()
        try:
            await send(
                handler, EXCEPTION_RAISE, about.encode(), reply=make_send_once(question.port), timeout_us=0
            )  # fmt: skip
        except Failure:
            await release(question.port)
            return False
        return True

    async def look(self) -> None:
        """See what was answered."""
        for child, question in list(self.questions.items()):
            try:
                mail = await receive(self.task, question.port, timeout_us=0)
            except TimedOut:
                continue
            await mail.release()
            await release(question.port)
            if not await self._go_on(child, mail):
                await self.ask_next(child)

    async def _go_on(self, child: int, mail: Mail) -> bool:
        """Let a thread go on, if that was the answer."""
        if mail.id != EXCEPTION_RAISE:
            return False
        try:
            registers = decode_state(mail.data)
        except Malformed:
            return False
        del self.questions[child]
        if registers is None:
            await self.pd.pd_resume(child)
        else:
            await set_registers(self.pd, child, registers, resume=True)
        return True

    async def forget_question(self, child: int) -> None:
        """An exception need not be answered any more."""
        question = self.questions.pop(child, None)
        if question is not None:
            await release(question.port)

    async def forget(self, child: int) -> None:
        """A task has ended: its ports for exceptions are not asked for its next life."""
        await self.forget_question(child)
        for key in [key for key in self.handlers if key[0] == child]:
            await self.handlers.pop(key).forget()


async def set_registers(pd: PD, child: int, registers: Sequence[int], *, resume: bool) -> None:
    """Set a child's registers."""
    flags = WRITE_RESUME if resume else 0
    await stubs.tcb_write_registers(pd.sys, BASE_TCB_CAP + child, flags=flags, registers=registers)


class ThreadServant(Thread):
    """A child's thread."""

    def __init__(self, exceptions: Exceptions, child: int) -> None:
        self.exceptions = exceptions
        self.child = child

    async def get_state(self) -> list[Word]:
        """The registers."""
        try:
            return [Word(word) for word in await self.exceptions.pd.pd_registers(self.child)]
        except KernelError:
            raise _ENDED from None

    async def set_state(self, registers: list[Word]) -> None:
        """Set them."""
        if len(registers) > REGISTERS:
            raise Malformed(f"a thread has {REGISTERS} registers, not {len(registers)}")
        try:
            await set_registers(self.exceptions.pd, self.child, registers, resume=False)
        except KernelError:
            raise _ENDED from None

    async def suspend(self) -> None:
        """Stop."""
        try:
            await self.exceptions.pd.pd_stop(self.child)
        except KernelError:
            raise _ENDED from None

    async def resume(self) -> None:
        """Go on."""
        await self.exceptions.forget_question(self.child)
        try:
            await self.exceptions.pd.pd_resume(self.child)
        except KernelError:
            raise _ENDED from None

    async def set_exception_port(self, level: Level, handler: SendRight) -> None:
        """Ask this port."""
        if level is Level.HOST:
            raise NotPermitted("the host's exception port is set by who controls the host")
        await self.exceptions.set_handler(self.child, level, handler)

    async def terminate(self) -> None:
        """End."""
        await self.exceptions.program.terminate(self.exceptions.pd, self.child)


class ControlServant(HostControl):
    """All of them."""

    def __init__(self, exceptions: Exceptions, threads: dict[int, ThreadServant]) -> None:
        self.exceptions = exceptions
        self.threads = threads

    async def thread(self, task: int) -> Thread:
        """One."""
        if task not in self.threads:
            raise NotFound(f"there is no task {task} here")
        return self.threads[task]

    async def set_exception_port(self, handler: SendRight) -> None:
        """Ask this port last."""
        await self.exceptions.set_handler(-1, Level.HOST, handler)


class Program(TaskHost):
    """The hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.exceptions: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        await super().init(pd)
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.exceptions = Exceptions(self, pd, connect(Task, Connection(pd.sys, inbox), OWN_TASK))
        threads = {task: ThreadServant(self.exceptions, task - FIRST_TASK) for task in self.children}
        control = ControlServant(self.exceptions, threads)

        def root(session: int) -> Interface | None:
            return control if session in CONTROL else threads.get(session)

        self.service = Service(pd, roots=root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    async def notified(self, pd: PD, ch: int) -> None:
        """There is an answer."""
        await self.exceptions.look()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """Somebody controls a thread."""
        return await self.service.protected(msg)

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """Ask what is to become of it."""
        await self.exceptions.raised(child, msg)
        return False

    async def terminate(self, pd: PD, child: int) -> None:
        """End a task."""
        await self.exceptions.forget(child)
        await super().terminate(pd, child)


_ENDED: Final = Gone("the task has ended")
