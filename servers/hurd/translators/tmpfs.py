"""A translator that is a directory in memory; what is in it ends with it. Its argument: bytes that fit in."""

from capkernel.user.process import Process
from servers.hurd.translator import Translator
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree

USUAL = 1 << 16


async def main(process: Process) -> int:
    """Serve for ever."""
    size = int(process.arguments[1]) if len(process.arguments) > 1 else USUAL
    return await Translator(process).serve(Tree(RamVolume(size)).root_directory)
