"""Stops the secondary domain by its TCB, lets it go on, and at last stops itself."""

from capkernel.user import stubs

SECONDARY = 0
SECONDARY_TCB, OWN_TCB = 2 << 58, 4 << 58


async def init(pd):
    await pd.print("|primary  | hello, world\n")
    await pd.print("|primary  | notifying secondary\n")
    await pd.notify(SECONDARY)
    await pd.print("|primary  | suspending secondary\n")
    await stubs.tcb_suspend(pd.sys, SECONDARY_TCB)
    await pd.print("|primary  | notifying secondary (it should not print)\n")
    await pd.notify(SECONDARY)
    await pd.print("|primary  | resuming secondary (it should then print)\n")
    await stubs.tcb_resume(pd.sys, SECONDARY_TCB)
    await pd.print("|primary  | halting (success)...\n")
    await stubs.tcb_suspend(pd.sys, OWN_TCB)
    await pd.print("|primary  | error: should not reach this point!\n")


async def notified(pd, ch):
    pass
