"""A client with all rights. In each period she writes to her diary and checks it, against a deadline.

The vault is only lent to her: one day her slot is empty, and it is the kernel that answers.
"""

from capkernel.abi.errors import INVALID_CAPABILITY
from capkernel.user.loop import PD

from .client import ask, get, put
from .words import DIARY, OK, READ_WRITE, SHARED, VAULT, say

beat: int = 0
results: int = 0
"""A page of our own, where the figures of our report stand as words."""

SECRET = "the key is under the mat"
DEADLINE_TICKS = 40_000  # 4 ms after the period was due to begin
NUMBER, DUE, CLOSING = 0, 8, 16
periods = missed = wrong = worst = visits = 0
has_vault = False


async def init(pd: PD) -> None:
    global has_vault
    await ask(pd, SHARED, READ_WRITE)
    await ask(pd, DIARY, READ_WRITE)
    has_vault = await ask(pd, VAULT, READ_WRITE)
    await put(pd, SHARED, "motto", "trust badges, not words")
    await put(pd, DIARY, "secret", SECRET)
    await say(pd, "I wrote a motto for all, and a secret into my diary")


async def notified(pd: PD, ch: int) -> None:
    """A period has begun. Those in between, which we had no time to notice, are missed."""
    global periods, missed
    number = await pd.load(beat + NUMBER)
    missed += number - periods - 1
    periods = number
    await work(pd)
    await look_at_the_clock(pd)
    if has_vault:
        await visit_the_vault(pd)
    if await pd.load(beat + CLOSING):
        await report(pd)


async def work(pd: PD) -> None:
    """One transaction: write an entry, read it back, and see that the secret is what it was."""
    global wrong
    await put(pd, DIARY, "today", "nothing new")
    entries = await get(pd, DIARY, "today"), await get(pd, DIARY, "secret")
    wrong += entries != ("nothing new", SECRET)


async def look_at_the_clock(pd: PD) -> None:
    global missed, worst
    late = await pd.clock() - await pd.load(beat + DUE)
    worst = max(worst, late)
    missed += late > DEADLINE_TICKS


async def visit_the_vault(pd: PD) -> None:
    global visits, has_vault
    answer = await put(pd, VAULT, "gold", "still there")
    visits += answer == OK
    if answer == INVALID_CAPABILITY:
        has_vault = False
        await say(pd, f"after {visits} visits my cap to the vault is gone: the kernel answers InvalidCapability")


async def report(pd: PD) -> None:
    for index, figure in enumerate((periods, missed, wrong, worst)):
        await pd.store(results + 8 * index, figure)
    await say(
        pd, f"{periods} periods, {missed} deadlines missed, at worst {worst // 10} us of {DEADLINE_TICKS // 10}; "
        f"my diary was wrong {wrong} times",
    )  # fmt: skip
