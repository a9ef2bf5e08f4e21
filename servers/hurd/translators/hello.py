"""A translator that is a file with a greeting: its further arguments, or "hello, world"."""

from capkernel.user.process import Process
from servers.hurd.translator import Translator
from servers.hurd.translators.constant import Constant


async def main(process: Process) -> int:
    """Serve for ever."""
    greeting = Constant((" ".join(process.arguments[1:]) or "hello, world").encode() + b"\n")
    return await Translator(process).serve(lambda rights: greeting)
