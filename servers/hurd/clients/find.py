"""Looks through the directory ``dir``, within limits that are its arguments: nodes and depth. Writes into the file
``output``: whether that was all, and how many nodes there were, how deep, and how many it could not look at.
"""

from capkernel.protocols.files import Directory, File
from capkernel.protocols.spawn import given
from capkernel.user.process import Process
from servers.hurd.walk import Limits, Walk


async def main(process: Process) -> int:
    """Look."""
    nodes, depth = (int(argument) for argument in process.arguments[1:])
    walk = Walk(Limits(nodes, depth))
    await walk.look(given(Directory, process, "dir"))
    deepest = max((len(found.path) for found in walk.found), default=0)
    text = f"{'cut' if walk.is_cut else 'whole'} {len(walk.found)} {deepest} {walk.refused}"
    await given(File, process, "output").write(0, text.encode())
    return 0
