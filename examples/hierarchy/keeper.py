"""The parent: it restarts a child that crashes, twice; the third time it gives up."""

from capkernel.user.faults import decode_fault
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

CHILD_ENTRY = 0x20_0000
"""Where a child's program begins (its mappings leave this address free)."""
PATIENCE = 2
restarts = 0


async def init(pd: PD) -> None:
    await pd.print("keeper: watching over my children\n")


async def fault(pd: PD, child: int, msg: Message) -> bool:
    global restarts
    await pd.print(f"keeper: child {child}: {decode_fault(msg.label, msg.words)}\n")
    if restarts < PATIENCE:
        restarts += 1
        await pd.print(f"keeper: restart {restarts} of {PATIENCE}\n")
        await pd.pd_restart(child, CHILD_ENTRY)
    else:
        await pd.pd_stop(child)
        await pd.print(f"keeper: that was once too often; child {child} stays stopped\n")
    return False  # no answer to the fault: the child was restarted, or it was stopped
