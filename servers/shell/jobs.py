"""The processes that were started at the prompt, and what each of them was given."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

from capkernel.protocols.failures import AlreadyExists, Gone, Malformed, NotFound, ServerDied
from capkernel.protocols.files import File
from capkernel.protocols.processes import Launcher, State, Status
from capkernel.protocols.spawn import spawn
from servers.net.closing import let_go
from servers.shell.gifts import Gift

REMEMBERED: Final = 32
"""Of those that have ended, how many are still known."""
LOST: Final = Status(State.KILLED, text="the process server was started anew, and its processes ended with it")


MEANING: Final = {
    "VMFault": "nothing is mapped there for it, or not with the right to do that",
    "CapFault": "no cap is at that address of its CSpace",
    "UserException": "its program raised an exception that it did not handle, or is no program there",
    "UnknownSyscall": "the kernel has no such system call",
}
"""What faults mean, by their names."""


@define(eq=False)
class Job:
    """A process. ``status`` is how it ended, or None."""

    number: int
    name: str
    process: Any
    gifts: dict[str, Gift] = field(factory=dict)
    status: Status | None = None

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        status = self.status
        if status is None:
            return "runs"
        if status.state is State.EXITED:
            return f"exited with {status.code}"
        if status.state is State.FAULTED:
            meaning = MEANING.get(status.fault)
            return f"faulted: {status.text}" + (f": {meaning}" if meaning else "")
        return f"ended: {status.text}" if status.text else "killed"


class Jobs:
    """All of them. ``ended`` are the last ones that have ended."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.running: dict[int, Job] = {}
        self.ended: deque[Job] = deque(maxlen=REMEMBERED)

    async def start(
        self, name: str, program: File, arguments: list[str], gifts: Mapping[str, Gift], *, heap: int = 0,
        segment: Any = None,
    ) -> Job:  # fmt: skip
        """Start a program with these. Raises failures; what was to be given is the caller's to take back then."""
        caps = {each: gift.share or gift.lent for each, gift in gifts.items()}
        process: Any = await spawn(
            self.launcher, program, arguments, caps, name=name, slots=True, heap=heap, segment=segment
        )
        job = Job((await process.info()).number, name, process, dict(gifts))
        self.running[job.number] = job
        return job

    def find(self, text: str) -> Job:
        """The job of a number, running or ended. Raises NotFound, Malformed."""
        job = self.running.get(_pid(text)) or next((job for job in self.ended if job.number == int(text)), None)
        if job is None:
            raise NotFound(f"no process {text} was started here; `ps` lists those that run")
        return job

    def alive(self, text: str) -> Job:
        """The job of a number, if it has not ended. Raises NotFound, Gone, Malformed."""
        job = self.find(text)
        if job.status is not None:
            raise Gone(f"process {text} has ended: {job.ending}")
        return job

    async def look(self, job: Job) -> bool:
        """See whether a job has ended; what it was given is taken back then."""
        if job.status is not None:
            return True
        try:
            status: Status = await job.process.status()
        except ServerDied:
            return False
        except Gone:
            status = LOST
        if status.is_over:
            await self._over(job, status)
        return status.is_over

    async def kill(self, job: Job) -> None:
        """End a job."""
        try:
            status = await job.process.kill()
        except Gone:
            status = LOST
        await self._over(job, status)

    async def _over(self, job: Job, status: Status) -> None:
        job.status = status
        self.running.pop(job.number, None)
        self.ended.append(job)
        for gift in job.gifts.values():
            await gift.take_back()
        await let_go(job.process)

    async def grant(self, job: Job, name: str, gift: Gift) -> None:
        """Give a running job something more. Raises failures."""
        if name in job.gifts:
            raise AlreadyExists(f"process {job.number} has a cap {name!r}")
        await gift.put(job.process, name)
        job.gifts[name] = gift

    async def revoke(self, job: Job, name: str) -> Gift:
        """Take back what a job was given, with all that it opened through it. Raises NotFound."""
        gift = job.gifts.pop(name, None)
        if gift is None:
            raise NotFound(f"process {job.number} was given no {name!r}; `caps {job.number}` lists what it was given")
        await gift.take_back()
        await job.process.withdraw(name)
        return gift


def _pid(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise Malformed(f"{text!r} is no number of a process")
    return int(text)
