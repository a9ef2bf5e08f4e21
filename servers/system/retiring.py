"""How a program gives way to another that goes on with what it has written down (``Supervision.update``).

The supervisor signals the service's update channel. The program finishes what it has begun, writes down its state in
memory that outlives it, and retires: it signals back, and serves nothing more. (If it cannot, it goes on as before, and
gives signs of life.) Who calls from then on waits at the endpoint, which outlives it too, until the next program
answers. That one reads the state, gives a sign of life before it serves anybody, and forgets the state. If it comes to
grief before the sign, the former program starts again from the same state: nobody was served meanwhile.

A program that has no update channel is destroyed in whatever it does; who waited for its answer gets ``ServerDied``.
"""

from typing import NoReturn

from capkernel.user.loop import PD


async def retire(pd: PD, channel: int) -> NoReturn:
    """Say that everything is written down, and serve nothing more."""
    await pd.notify(channel)
    while True:
        await pd.sys.yield_()
