"""Deals in caps at random: passes them on, takes what comes, copies, thins, deletes, revokes and maps."""

import random

from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.loop import INPUT_CAP, PD, REPLY_CAP
from capkernel.user.syscalls import Message

OWN, GOODS = 266, range(267, 278)
"""A cap to the CNode in which all that is dealt in lies, and its slots."""
SHOP = 0x3F_0000
"""Where frames are mapped, in whosever address space: the program's own page table reaches so far."""
SEED = 0


async def init(pd: PD) -> None:
    rng = random.Random(f"{SEED} {pd.name} {pd.life}")
    while True:
        try:
            await _deal(pd, rng)
        except KernelError:
            continue


async def _deal(pd: PD, rng: random.Random) -> None:
    slot, other = rng.choice(GOODS), rng.choice(GOODS)
    match rng.randrange(11):
        case 0 | 1 | 2 | 3 | 8:
            # Also caps that a domain holds by Microkit's rules, not only those that were granted.
            goods = rng.choice((other, other, rng.randrange(1, 266)))
            await pd.sys.nbsend(slot, Message(0, (), (goods,)))
        case 4:
            await pd.sys.set_receive_slot(OWN, other, 64)
            await pd.sys.recv(INPUT_CAP, REPLY_CAP)
        case 5:
            await stubs.cnode_mint(
                pd.sys, OWN, dest_index=slot, dest_depth=64, src_root=OWN, src_index=other, src_depth=64,
                rights=rng.choice((rt.ALL, rt.READ_WRITE, rt.WRITE, rt.READ)), badge=rng.randrange(3),
            )  # fmt: skip
        case 6:
            await stubs.cnode_delete(pd.sys, OWN, index=slot, depth=64)
        case 7:
            await stubs.cnode_revoke(pd.sys, OWN, index=slot, depth=64)
        case 9 | 10:
            await stubs.page_map(pd.sys, slot, vaddr=SHOP, rights=rt.READ_WRITE, attr=EXECUTE_NEVER, vspace=other)
    await pd.compute(10)
