"""Restarts a child that faults, nine times; then it stops it."""

CHILD_ENTRY = 0x20_0000
restart_count = 0


async def init(pd):
    await pd.print("restarter: starting\n")


async def notified(pd, ch):
    pass


async def fault(pd, child, msg):
    global restart_count
    await pd.print(f"restarter: received fault message for child pd: {child}\n")
    restart_count += 1
    if restart_count < 10:
        await pd.pd_restart(child, CHILD_ENTRY)
        await pd.print("restarter: restarted\n")
    else:
        await pd.pd_stop(child)
        await pd.print("restarter: too many restarts - PD stopped\n")
    return False
