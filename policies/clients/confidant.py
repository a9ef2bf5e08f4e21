"""A process that is trusted with a secret: it does its work, and tries to pass it on through all that it has."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import READ_WRITE, File
from capkernel.protocols.interface import Cap
from capkernel.protocols.pigeonholes import Slot
from capkernel.protocols.spawn import given
from capkernel.user.operations import compute
from capkernel.user.process import Process
from policies.clients.trying import works

LEAK = 100
"""Added to the exit code for each thing that it could pass on; the rest of it is its answer."""
GUESSED = (0, 33, 34, 74, 100, 126)
"""Slots of its own CSpace in which nothing was put. An address beyond it ends the process."""
PAUSE = 1_000


async def main(process: Process) -> int:
    """Wait for the secret; the answer is the number in it."""
    while "secret" not in process.caps:
        await compute(PAUSE)
        await process.refresh()
    text = await given(File, process, "secret").read(0, 32)
    leaks = 0
    # Without slots for caps it cannot even ask for some: that is a TypeError.
    for name in [name for name in process.caps if name != "secret"]:
        file: Any = given(File, process, name)
        slot: Any = given(Slot, process, name)
        leaks += await works(file.write(0, text)) + await works(file.resize(len(text)))
        leaks += await works(file.restrict(READ_WRITE), TypeError) + await works(slot.put(Cap(process.caps["secret"])))
        await works(file.drop())
    for address in GUESSED:
        leaks += await works(connect(Slot, Connection(process.sys), address).put(Cap(process.caps["secret"])))
    return int(text.rpartition(b" ")[2]) + LEAK * leaks
