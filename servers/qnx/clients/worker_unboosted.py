"""The same server without what a booster would tell it: it takes on a priority only when it receives."""

from capkernel.user.loop import PD
from servers.qnx.clients import worker
from servers.qnx.priority import ROOT_SHIFT, OwnPriority


class Program(worker.Program):
    """The server."""

    async def own_priority(self, pd: PD) -> OwnPriority | None:
        """That of the client; a booster finds it above all others, and lets it be."""
        if self.boosts:
            await pd.store(self.boosts + 8 * 62, worker.CEILING)
        return OwnPriority(pd.sys, worker.OWN_TCB << ROOT_SHIFT, worker.CEILING)
