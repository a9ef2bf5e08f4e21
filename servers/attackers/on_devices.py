"""What is tried on the drivers that have many clients, beyond what can be tried on any server."""

from capkernel.protocols.attacks import CROWDED, TURNED_AWAY, Trick
from capkernel.protocols.block import Block
from capkernel.protocols.clocks import MAX_US, RealTimeClock, Timer
from capkernel.protocols.console import MAX_TEXT, Console, ConsoleInput
from capkernel.protocols.entropy import MAX_COUNT, Entropy
from capkernel.protocols.failures import Busy
from capkernel.protocols.interface import operations_of
from capkernel.user.messages import to_words
from capkernel.user.syscalls import Message
from servers.attackers.attack import FIRST_TARGET, Attack

TOO_MANY = MAX_US + 1
HUGE = 1 << 40
READS = 40
BURSTS, CROWD = 16, 8
"""How often a crowd of texts is sent: more than there are places to wait."""
FILL = "mallory waits " * 16
AGAIN = 20_000
"""Ticks until somebody who was refused tries again."""


async def console(attack: Attack) -> None:
    """Who may write wants the keys, and to write what a terminal obeys."""
    output, keys = attack.stub(Console), attack.stub(ConsoleInput)
    for what, attempt in (
        ("the keys were read", keys.read_keys()), ("a line was read", keys.read_line("password: ")),
        ("the line that is typed was changed", keys.draw("x")), ("the keys were lent", keys.lend()),
    ):  # fmt: skip
        await attack.refused(Trick.RIGHTS, what, attempt)
    await attack.refused(Trick.QUOTAS, "a text was too long", output.write("x" * (MAX_TEXT + 1)))
    for _ in range(4):
        await output.write("\x1b[2J\x1b]0;root\x07\rneighbour: no\x1b[8m" * 3)
    await crowd(attack, output)


async def crowd(attack: Attack, output: Console) -> None:
    """More texts than may wait, and then one more. It is put out, or refused; whoever reads along finds out whether one
    that was refused was put out all the same: at the end the terminal is told which were.
    """
    write = next(each for each in operations_of(Console).values() if each.name == "write")
    refused = []
    for number in range(BURSTS):
        for _ in range(CROWD):
            await attack.pd.sys.send(FIRST_TARGET, Message(write.label, to_words(write.request(FILL))))
            await attack.ledger.allowed(Trick.SLOW)
        try:
            await output.write(CROWDED.format(number))
        except Busy:
            refused.append(number)
            await attack.ledger.count(Trick.SLOW, "a text beyond its share", is_refused=True)
        else:
            await attack.ledger.allowed(Trick.SLOW)
    for number in refused:
        while not await _written(output, TURNED_AWAY.format(number)):
            await attack.pd.compute(AGAIN)


async def _written(output: Console, text: str) -> bool:
    try:
        await output.write(text)
    except Busy:
        return False
    return True


async def timer(attack: Attack) -> None:
    """Moments that there are not."""
    clock = attack.stub(Timer)
    for us in (-1, TOO_MANY, 1 << 62):
        await attack.refused(Trick.INPUT, f"a sleep of {us} µs", clock.sleep(us))
        await attack.refused(Trick.INPUT, f"a sleep until {us} µs", clock.sleep_until(us))
        await attack.refused(Trick.INPUT, f"a period of {us} µs", clock.alarm(1, us))
    await attack.refused(Trick.RIGHTS, "an alarm for somebody else's channel", clock.alarm(1, 100))


async def rtc(attack: Attack) -> None:
    """The clock is set by somebody else."""
    clock = attack.stub(RealTimeClock)
    for ns in (0, 1, 10**18, -1):
        await attack.refused(Trick.RIGHTS, "the clock was set", clock.set_time(ns))
        await attack.refused(Trick.RIGHTS, "an alarm for somebody else's channel", clock.alarm(ns))


async def entropy(attack: Attack) -> None:
    """All bytes that there are, and more."""
    source = attack.stub(Entropy)
    for count in (0, -1, MAX_COUNT + 1, HUGE):
        await attack.refused(Trick.QUOTAS, f"{count} bytes at a time", source.read(count))
    for _ in range(READS):
        await source.read(MAX_COUNT)


async def disk(attack: Attack) -> None:
    """Sectors and places that are not there. What is there is this client's own affair."""
    block = attack.stub(Block)
    sectors = (await block.info()).sectors
    for sector, count, offset in (
        (sectors, 1, 0), (sectors - 1, 2, 0), (0, 0, 0), (0, -1, 0), (-1, 1, 0), (0, 1, -512), (0, 1, 0x1_0000),
        (0, 1, 0xFFFF), (0, 1 << 40, 0), (1 << 62, 1, 0), (0, 1 << 55, 0), (0, 129, 0), (0, 1, 1 << 62),
    ):  # fmt: skip
        what = f"{count} sectors at {sector}, place {offset:#x}"
        await attack.refused(Trick.MEMORY, f"{what}, were read", block.read(sector, count, offset))
        await attack.refused(Trick.MEMORY, f"{what}, were written", block.write(sector, count, offset))


async def mirror(attack: Attack) -> None:
    """The same, of a disk that this client may only read, and not through the memory of others."""
    block = attack.stub(Block)
    await disk(attack)
    for sector in (0, 1, 100):
        await attack.refused(Trick.RIGHTS, "a sector was written", block.write(sector, 1, 0))
        await attack.refused(Trick.MEMORY, "others' memory was written to", block.read(sector, 1, 0))
