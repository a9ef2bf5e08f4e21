"""The auth server of a subhurd. Its arguments say who is who, by session: "3=0,100" is uids 0 and 100; "2=" nobody."""

from capkernel.protocols.hurd_auth import Ids
from capkernel.protocols.interface import Interface
from capkernel.user.process import MissingCap, Process
from servers.hurd.identities import Identity, Landed, meetings_of
from servers.hurd.translator import Translator


async def main(process: Process) -> int:
    """Serve for ever."""
    inbox = process.inbox
    if inbox is None:
        raise MissingCap(f"{process.name} cannot receive caps")
    known = {}
    for argument in process.arguments[1:]:
        session, _, uids = argument.partition("=")
        known[int(session)] = Ids(tuple(int(uid) for uid in uids.split(",") if uid))

    landed = Landed(inbox)

    def root(session: int) -> Interface | None:
        return Identity(landed, known[session]) if session in known else None

    async def settle() -> None:
        meetings = meetings_of(entry.servant for entry in service.entries())
        await landed.settle(each.left for each in meetings)

    translator = Translator(process)
    service = await translator.begin(root, settle)
    return await translator.run(service)
