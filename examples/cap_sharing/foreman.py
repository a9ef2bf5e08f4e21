"""Holds the worker's TCB and scheduling context: it reads its registers and its bill, stops it, lets it go on."""

from capkernel.user import stubs
from capkernel.user.loop import PD

WORKER = 0
WORKERS_TCB, WORKERS_TIME = 1 << 58, 2 << 58
"""Slot s of the root CNode has the cap address s << 58: the upper six bits of the address choose it."""
laps = 0


async def init(pd: PD) -> None:
    await pd.print("foreman: I hold the worker's thread and its time\n")


async def notified(pd: PD, ch: int) -> None:
    """The worker finished a lap."""
    global laps
    laps += 1
    spent = await stubs.sched_context_consumed(pd.sys, WORKERS_TIME)
    await pd.print(f"foreman: lap {laps} took {spent} us of the worker's time\n")
    if laps == 2:
        await stop_and_go_on(pd)
    elif laps == 3:
        await stubs.tcb_suspend(pd.sys, WORKERS_TCB)
        await pd.print("foreman: enough; the worker is stopped for good\n")


async def stop_and_go_on(pd: PD) -> None:
    """While it is stopped the worker does not hear us; it will when it goes on."""
    await stubs.tcb_suspend(pd.sys, WORKERS_TCB)
    registers = await stubs.tcb_read_registers(pd.sys, WORKERS_TCB, flags=0, count=2)
    await pd.print(f"foreman: stopped the worker at pc {registers[0]:#x}; I call out to it: nothing\n")
    await pd.notify(WORKER)
    await pd.print("foreman: now I let it go on\n")
    await stubs.tcb_resume(pd.sys, WORKERS_TCB)
