"""The warden: mallory's parent. It takes down her faults and lets her go on behind whatever she tried.

Nothing is hidden from her: in the page `docket` she finds how many faults she took, and of the last one its label
and detail.

The machine's programs have no jump instruction, so the warden jumps in mallory's name when she asks for it by an
unknown system call: it sets her pc. Whether she may execute there, the page tables decide.
"""

from capkernel.abi import faults as flt
from capkernel.user import stubs
from capkernel.user.loop import BASE_TCB_CAP, PD
from capkernel.user.syscalls import Message

from .words import STOP, say

docket: int = 0
ledger: int = 0

MALLORY = 1
JUMP = 0x4A554D50
INSTRUCTION = 4
RESUME = 1
COUNT, LABEL, DETAIL = 0, 8, 16
WAITED_IN_VAIN = 100
"""Stands in the docket as the label when a child was pulled out of a system call that blocked it for good."""
PROGRESS, DONE = 0, 8
"""Words of mallory's ledger: the number of her attempt; whether she is through."""
PULSE = 1
PATIENCE, LEAST_PERIODS, MOST_RESCUES = 4, 40, 2000
counts = {}
jumped_from = 0
progress = idle_periods = periods = rescues = 0
closed = False


async def init(pd: PD) -> None:
    await say(pd, "the gates are open; mallory is inside, with one cap and a fifth of the time")


async def fault(pd: PD, child: int, msg: Message) -> bool:
    """Take it down; she goes on behind the instruction that faulted."""
    global jumped_from
    fault_ip, detail = msg[0], msg[-1]
    if msg.label == flt.USER_EXCEPTION and msg[2] == flt.CAUSE_BREAKPOINT:
        await close(pd, "mallory's program came to an end")
        return False
    counts[msg.label] = counts.get(msg.label, 0) + 1
    if msg.label == flt.UNKNOWN_SYSCALL and detail == JUMP:
        jumped_from = fault_ip
        await go_on(pd, msg[3])
        return False
    if jumped_from:
        fault_ip, jumped_from = jumped_from, 0
    await take_down(pd, msg.label, detail)
    await go_on(pd, fault_ip + INSTRUCTION)
    return False


async def notified(pd: PD, ch: int) -> None:
    """A period has begun. If mallory has not moved for some, she is blocked for good: pull her out."""
    global progress, idle_periods, periods, rescues
    periods += 1
    if closed:
        return
    if await pd.load(ledger + DONE):
        if periods >= LEAST_PERIODS:
            await close(pd, "mallory is through")
        return
    before, progress = progress, await pd.load(ledger + PROGRESS)
    idle_periods = idle_periods + 1 if progress == before else 0
    if idle_periods == PATIENCE:
        idle_periods = 0
        rescues += 1
        await pull_out(pd)
    if rescues == MOST_RESCUES:
        await close(pd, "mallory does not get on")


async def pull_out(pd: PD) -> None:
    registers = await stubs.tcb_read_registers(pd.sys, BASE_TCB_CAP + MALLORY, flags=0, count=1)
    await take_down(pd, WAITED_IN_VAIN, 0)
    await go_on(pd, registers[0] + INSTRUCTION)


async def take_down(pd: PD, label: int, detail: int) -> None:
    await pd.store(docket + COUNT, await pd.load(docket + COUNT) + 1)
    await pd.store(docket + LABEL, label)
    await pd.store(docket + DETAIL, detail)


async def go_on(pd: PD, pc: int) -> None:
    await stubs.tcb_write_registers(pd.sys, BASE_TCB_CAP + MALLORY, flags=RESUME, registers=[pc])


async def close(pd: PD, why: str) -> None:
    global closed
    closed = True
    faults = ", ".join(f"{count} {flt.FAULT_NAMES[label]}" for label, count in sorted(counts.items()))
    await say(pd, f"{why}; her faults: {faults or 'none'}; pulled out of {rescues} waits")
    await pd.ppcall(PULSE, Message(STOP))
