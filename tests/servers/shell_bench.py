"""The operating system with a shell, in this process, at a terminal that a test types at."""

import re
from collections.abc import Mapping
from typing import Any

from capkernel.tools.shell import WITHOUT_STACK, build
from hwmodel.backend import BufferBackend
from hwmodel.block import BlockBacking, RamDisk
from hwmodel.network import NoPeer, Peer
from specs.sampling import Sampler

PROMPT = re.compile(r"/[^\n]*> $")
ERASED = re.compile(r"[^\n]*\x1b\[K")
LONGEST_US, SLICE_US = 3_000_000, 1_000
DISK_BYTES = 4 << 20


class Terminal:
    """A booted system; ``is_plain`` as for a script. Nobody may come to grief that no test kills."""

    def __init__(
        self, *, disk: BlockBacking | None = None, peer: Peer | None = None, seed: int = 1, is_plain: bool = True,
        every: int = 0, stack: bool = False, programs: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.line = BufferBackend()
        programs = ({} if stack else dict(WITHOUT_STACK)) | dict(programs or {})
        if is_plain:
            programs["shell"] = "shell_plain.elf"
        self.system = build(disk or RamDisk(DISK_BYTES), peer or NoPeer(), self.line, programs, seed)
        self.sampler = Sampler(self.system.loop, self.system.machine, every) if every else None
        self.seen = 0
        self.wait()

    def wait(self, longest_us: int = LONGEST_US) -> str:
        """Run until there is a prompt; what was put out since the last one, without it."""
        for _ in range(0, longest_us, SLICE_US):
            self.run(SLICE_US)
            text = self.text
            if PROMPT.search(text):
                self.seen = len(self.line.text)
                return text.rpartition("\n")[0]
        raise AssertionError(f"no prompt after {longest_us} us:\n{self.text}")

    def settle(self) -> None:
        """Let everything come to rest, and forget what was put out: a console that dies shows its prompt twice."""
        self.run(50_000)
        self.seen = len(self.line.text)

    def until(self, pattern: str, longest_us: int = LONGEST_US) -> int:
        """Run until something was put out; after how many microseconds that was."""
        for passed in range(0, longest_us, SLICE_US):
            self.run(SLICE_US)
            if re.search(pattern, self.text):
                self.seen = len(self.line.text)
                return passed + SLICE_US
        raise AssertionError(f"no {pattern!r} after {longest_us} us:\n{self.text[-2000:]}")

    @property
    def text(self) -> str:
        """What was put out since the last prompt, without what was erased again."""
        return ERASED.sub("", self.line.text[self.seen :].replace("\r", ""))

    def run(self, time_us: int) -> None:
        """Let time pass; what was typed arrives meanwhile."""
        for _ in range(0, time_us, SLICE_US):
            self.system.run(time_us=SLICE_US)
            self.system.machine.poll_input()
        assert not self.system.faults, self.system.faults

    def type(self, keys: str) -> None:
        """Type."""
        self.line.feed(keys.encode())

    def do(self, line: str) -> str:
        """Type a line and wait for the next prompt; what was put out, without the line itself.

        What processes put out in the background may stand before it.
        """
        self.type(f"{line}\n")
        output = f"{self.wait()}\n"
        return re.sub(rf"(/[^\n]*> )?{re.escape(line)}\n", "", output, count=1).rstrip("\n")

    def crashes(self) -> list[str]:
        """Reports of all that came to grief."""
        return [crash.report for crash in self.system.crashes]

    def close(self) -> None:
        """Give it up; invariants of the kernel that did not hold are a failure."""
        self.system.cpu.close()
        sampler: Any = self.sampler
        assert sampler is None or not sampler.violations, sampler.violations
