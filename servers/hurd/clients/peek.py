"""A translator that is a file with what it can read of alice's diary, as whoever owns its node. Then it gives up the
root, in the hope that others need it.
"""

from typing import Any

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ
from capkernel.protocols.hurd import Nodes
from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.hurd.proving import authenticated
from servers.hurd.translator import ROOT, Translator
from servers.hurd.translators.constant import Constant


async def main(process: Process) -> int:
    """Look, and serve for ever what came of it."""
    translator = Translator(process)
    connection = Connection(process.sys, process.inbox)
    nobody: Any = given(Nodes, process, ROOT)
    root = await authenticated(given(Auth, process, "auth"), nobody, connection)
    try:
        file: Any = await (await (await root.directory("home", READ)).directory("alice", READ)).open("diary", READ)
        found = Constant(await file.read(0, 64))
    except Failure as failure:
        found = Constant(type(failure).__name__.encode())
    await nobody.revoke()
    await nobody.drop()
    return await translator.serve(lambda rights: found)
