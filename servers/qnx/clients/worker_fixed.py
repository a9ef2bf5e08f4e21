"""The same server with a fixed priority, the low one that such a server has (``_NTO_CHF_FIXED_PRIORITY``)."""

from capkernel.user import stubs
from capkernel.user.loop import PD
from servers.qnx.clients import worker
from servers.qnx.priority import ROOT_SHIFT, OwnPriority


class Program(worker.Program):
    """The server."""

    async def own_priority(self, pd: PD) -> OwnPriority | None:
        """Fixed."""
        if self.boosts:
            await pd.store(self.boosts + 8 * 62, worker.CEILING)
        tcb = worker.OWN_TCB << ROOT_SHIFT
        await stubs.tcb_set_priority(pd.sys, tcb, priority=worker.PRIORITIES[worker.LOW], authority=tcb)
        return None
