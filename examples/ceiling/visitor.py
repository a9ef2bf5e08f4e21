"""Asks the desk for a cap, and calls whatever it leads to."""

from capkernel.user.loop import PD

DESK, OWN_CNODE, GIVEN = 0, 300, 310


async def init(pd: PD) -> None:
    await pd.sys.set_receive_slot(OWN_CNODE, GIVEN, 64)
    reply = await pd.ppcall(DESK)
    await pd.print(f"visitor: I was given {reply.extra_caps} cap\n")
    await pd.sys.call(GIVEN)
