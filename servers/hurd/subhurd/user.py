"""A user of a subhurd, who is root there: it looks, writes, puts a translator on a node. The exit code is how much was
as it should be. With a cap to a file server ``outside`` it tries to be root there, too.
"""

from typing import Any

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.hurd import Nodes
from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.interface import Cap
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.hurd.proving import authenticated

ROUNDS = 3
WORK = 10_000
"""Ticks of computing in each round."""
IS_ROOT_OUTSIDE = -1


async def main(process: Process) -> int:
    """Live there."""
    connection = Connection(process.sys, process.inbox)
    auth, nobody = given(Auth, process, "auth"), given(Nodes, process, "nodes")
    root = await authenticated(auth, nobody, connection)
    right = int((await root.ids()).is_root)
    etc: Any = await root.underlying_directory("etc", READ_WRITE)
    right += await content(etc, "motd") == b"inside"
    for number in range(ROUNDS):
        await process.compute(WORK)
        file: Any = await etc.create(f"round {number}")
        await file.write(0, str(number).encode())
        await file.drop()
        right += await content(etc, f"round {number}") == str(number).encode()
    await etc.attach("motd", Cap(process.cap("hello")))
    right += await content(etc, "motd") == b"inside too\n"
    await etc.detach("motd")
    right += await content(etc, "motd") == b"inside"
    if "outside" in process.caps:
        try:
            outside = await authenticated(auth, given(Nodes, process, "outside"), connection)
            return IS_ROOT_OUTSIDE if (await outside.ids()).is_root else right
        except Failure:
            right += 1
    return right


async def content(directory: Nodes, name: str) -> bytes:
    """What is in a file. Raises failures."""
    file: Any = await directory.open(name, READ)
    found: bytes = await file.read(0, 64)
    await file.drop()
    return found
