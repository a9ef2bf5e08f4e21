"""The file server of a subhurd: nodes in memory. It trusts the auth server of the subhurd, ``auth``, and no other."""

from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.interface import Interface
from capkernel.protocols.spawn import given
from capkernel.user.process import MissingCap, Process
from servers.hurd.attached import Translators
from servers.hurd.node_server import make_nodes
from servers.hurd.nodes import NodeTree, Viewer
from servers.hurd.translator import Translator
from servers.storage.ram_volume import RamVolume

LIMIT = 1 << 16
"""Bytes of all files together."""
TABLE = """
[[node]]
path = "etc/motd"
kind = "file"
owner = 0
group = 0
mode = 0o644
content = "inside"
"""


async def main(process: Process) -> int:
    """Serve for ever."""
    if process.inbox is None:
        raise MissingCap(f"{process.name} cannot receive caps")
    translators = Translators(process.inbox, auth=given(Auth, process, "auth"))
    tree = NodeTree(RamVolume(LIMIT), translators)
    await make_nodes(tree, TABLE)

    def root(session: int) -> Interface:
        return tree.directory_for(Viewer(session))

    translator = Translator(process)
    service = await translator.begin(root)
    await translators.serve(tree, service)
    return await translator.run(service)
