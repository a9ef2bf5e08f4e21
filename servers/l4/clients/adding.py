"""A client that has something added: the example of docs/l4.md."""

from capkernel.user.loop import PD
from servers.l4.ipc import Ipc

report: int = 0

SERVER = 0


async def init(pd: PD) -> None:
    """Call through channel 0."""
    answer = await Ipc(pd).call(SERVER, 1, (20, 21, 1))
    await pd.print(f"the sum is {answer.words[0]}\n")
    await pd.store(report, 1)
