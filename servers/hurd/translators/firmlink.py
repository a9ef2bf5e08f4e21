"""A translator that is a directory elsewhere in the same tree: its argument is the path from the root.

It is looked up with the authority of whoever owns the link. Who uses the link needs no more than the link's mode gives.
"""

from typing import Any

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.hurd import Nodes
from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.hurd.proving import authenticated
from servers.hurd.translator import ROOT, Translator
from servers.storage.mount_table import MountsServant, MountTable


async def main(process: Process) -> int:
    """Find it, and serve for ever."""
    translator = Translator(process)
    connection = Connection(process.sys, process.inbox)
    target: Any = await authenticated(given(Auth, process, "auth"), given(Nodes, process, ROOT), connection)
    for name in process.arguments[1].split("/"):
        try:
            target = await target.directory(name, READ_WRITE)
        except NotPermitted:
            target = await target.directory(name, READ)
    table = MountTable(target)
    return await translator.serve(lambda rights: MountsServant(table, rights))
