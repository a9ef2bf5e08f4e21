"""Each stub says what the table of invocations says: label, words and caps in order."""

import asyncio
import inspect
import re
from typing import Any

import pytest

from capkernel.abi.labels import BY_NAME, InvocationSpec
from capkernel.user import stubs
from capkernel.user.syscalls import Message

SPELLING = {
    "type": "object_type", "clear": "clear_flags", "set": "set_flags", "bufferFrame": "buffer_frame",
    "schedcontext": "sched_context",
}  # fmt: skip
"""Names of the kernel's interface files that are not spelled as Python names are, or that Python uses itself."""


class Recording:
    """Stands in for a thread's system calls; keeps the last message."""

    async def call(self, dest: int, message: Message) -> Message:
        self.dest, self.message = dest, message
        return Message(0, [0] * 36)


def stub_of(row: InvocationSpec) -> Any:
    """The function of that name, in the spelling of Python: CNode_Copy is cnode_copy."""
    name = row.name.replace("CNode", "Cnode")
    return getattr(stubs, re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower())


@pytest.mark.parametrize("row", BY_NAME.values(), ids=lambda row: row.name)
def test_a_stub_sends_what_its_row_says(row: InvocationSpec) -> None:
    sys, stub = Recording(), stub_of(row)
    names = list(inspect.signature(stub).parameters)[2:]
    arguments: dict[str, Any] = {name: 100 + n for n, name in enumerate(names)}
    words = [*range(100, 100 + len(row.words))]
    if row.name == "TCB_WriteRegisters":
        arguments["registers"] = [7, 8]
        words = [arguments["flags"], 2, 7, 8]
    else:
        assert names == [SPELLING.get(name, name) for name in (*row.words, *row.caps)]
    asyncio.run(stub(sys, 5, **arguments))
    sent = sys.message
    assert (sys.dest, sent.label, list(sent.words)) == (5, row.label, words)
    assert list(sent.caps) == [*range(100 + len(row.words), 100 + len(row.words) + len(row.caps))]
