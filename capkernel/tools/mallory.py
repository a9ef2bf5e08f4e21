"""Mallory in the operating system: she is run at the prompt with what an ordinary user would give her.

She has a directory to read, a share of processes and memory, a program, and her own CSpace, and tries what she was not
given. Then she is run once more with a directory that she may write to: what she is refused is what she was not given.
"""

import re
from typing import Final

from capkernel.runtime.described import DescribedSystem
from capkernel.runtime.trace import Trace
from capkernel.tools.demo.network import why_not
from capkernel.tools.demo.story import Story
from capkernel.tools.shell import WITHOUT_STACK, build, status
from capkernel.tools.shell_disks import NEW_DISK
from hwmodel.backend import BufferBackend
from hwmodel.block import RamDisk
from hwmodel.network import NoPeer

TITLE = "mallory at the prompt of the operating system: refused everywhere"
PREPARED: Final = "mkdir vault", "write vault/secret do not touch"
VAULT: Final = "vault"
"""A directory, to be read."""
GIVEN: Final = "launcher=launcher:256K:3 program=/bin/hello memory=memory:64K console=console"
ERASED: Final = re.compile(r"[^\n]*\x1b\[K")
REFUSED: Final = "refused"
SUCCESS: Final = "SUCCESS"
LAST: Final = "mallory:"
SLICE_US: Final = 2_000
LONGEST_US: Final = 2_000_000
"""Until a line has been dealt with."""


class Prompt:
    """The system at whose prompt lines are typed."""

    def __init__(self, seed: int) -> None:
        self.terminal = BufferBackend()
        programs = {"shell": "shell_plain.elf"} | (WITHOUT_STACK if why_not() else {})
        self.system: DescribedSystem = build(RamDisk(NEW_DISK), NoPeer(), self.terminal, programs, seed)
        self.trace = Trace(self.system.loop)
        self.asked = 0
        self._wait()

    def _wait(self) -> None:
        """Until the shell asks for another line. Raises TimeoutError."""
        for _ in range(LONGEST_US // SLICE_US):
            self.system.run(time_us=SLICE_US)
            self.system.machine.poll_input()
            asked = status(self.system)[1]
            if asked > self.asked:
                self.asked = asked
                return
        raise TimeoutError("the shell asks for nothing any more")

    def do(self, line: str) -> list[str]:
        """Type a line; what is said then, without what is erased again."""
        before = len(self.terminal.text)
        self.terminal.feed(f"{line}\n".encode())
        self._wait()
        return ERASED.sub("", self.terminal.text[before:].replace("\r", "")).splitlines()[1:]


def story(story: Story, *, everywhere: bool = False) -> None:
    """Run her twice."""
    prompt = Prompt(story.seed)
    for line in PREPARED:
        prompt.do(line)
    command = f"run mallory with home={VAULT} {GIVEN}"
    story.tell(f"/> {command}")
    said = prompt.do(command)
    refused = [line for line in said if line.startswith(REFUSED)]
    got_in = [line for line in said if line.startswith(SUCCESS)]
    last = next((line for line in said if line.startswith(LAST)), "")
    for line in (*refused[:2], f"… and {len(refused) - 2} more", last):
        story.tell(f"  {line}")
    expected = f"mallory: {len(refused)} tries, 0 succeeded"
    story.claim("mallory is refused everywhere", bool(refused) and not got_in and last == expected,
                got_in[0] if got_in else f"{len(refused)} tries, {len(got_in)} succeeded")  # fmt: skip
    kept = prompt.do("cat vault/secret")
    story.claim("what she was not to touch is as it was", kept[:1] == ["do not touch"], "; ".join(kept[:1]))
    more = prompt.do(f"run mallory with home=vault:rw {GIVEN}")
    done = [line for line in more if line.startswith(SUCCESS)]
    story.claim("with a directory to write to she gets in there", bool(done), f"{len(done)} succeeded")
    faults = prompt.system.faults
    story.claim("nobody stopped", not faults and not prompt.system.crashes, faults or "")
    story.trace_hash = prompt.trace.hash()
    prompt.system.cpu.close()
