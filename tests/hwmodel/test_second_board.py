"""A described system on the second board: its own drivers, serial line, timer, clock, and a device behind the IOMMU."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from capkernel.tools.run import run

SYSTEM = """<system>
    <memory_region name="uart" size="0x1000" phys_addr="0x10010000" />
    <memory_region name="timer" size="0x1000" phys_addr="0x10020000" />
    <memory_region name="clock" size="0x1000" phys_addr="0x10030000" />
    <memory_region name="engine" size="0x1000" phys_addr="0x13000000" />
    <memory_region name="transfer" size="0x2000" />
    <io_address_space name="space" peripheral_id="1:3.0" domain_id="3">
        <iomap mr="transfer" iovaddr="0x10000" perms="rw" />
    </io_address_space>
    <protection_domain name="drivers" priority="100">
        <program_image path="drivers.elf" />
        <map mr="uart" vaddr="0x2000000" perms="rw" cached="false" setvar_vaddr="uart" />
        <map mr="timer" vaddr="0x2001000" perms="rw" cached="false" setvar_vaddr="timer" />
        <map mr="clock" vaddr="0x2002000" perms="rw" cached="false" setvar_vaddr="clock" />
        <map mr="engine" vaddr="0x2003000" perms="rw" cached="false" setvar_vaddr="engine" />
        <map mr="transfer" vaddr="0x3000000" perms="rw" setvar_vaddr="transfer" />
        <irq irq="4" id="0" />
        <irq irq="42" id="1" />
        <irq irq="60" id="2" />
    </protection_domain>
</system>
"""
PROGRAM = '''
"""Echoes capitals, ticks three times, and copies with the DMA engine, once within its map and once outside."""
from hwmodel import countdown, dma, rtc, sifive_uart as serial

uart: int = 0
timer: int = 0
clock: int = 0
engine: int = 0
transfer: int = 0
ticks = 0

async def say(pd, text):
    for code in text.encode():
        await pd.store(uart + serial.TXDATA, code, 4)

async def copy(pd, source):
    for register, value in ((dma.SOURCE, source), (dma.DESTINATION, 0x11000), (dma.LENGTH, 4), (dma.CONTROL, 3)):
        await pd.store(engine + register, value)

async def init(pd):
    await pd.store(uart + serial.TXCTRL, serial.TXEN, 4)
    await pd.store(uart + serial.RXCTRL, serial.RXEN, 4)
    await pd.store(uart + serial.IE, serial.RXWM, 4)
    await say(pd, "say something\\n")
    await pd.store(timer + countdown.LOAD, 100_000, 4)
    await pd.store(timer + countdown.CONTROL, countdown.ENABLE | countdown.PERIODIC, 4)
    await pd.write(transfer, b"copy")
    await copy(pd, 0x10000)

async def notified(pd, ch):
    global ticks
    if ch == 0:
        while not (code := await pd.load(uart + serial.RXDATA, 4)) & serial.EMPTY:
            await say(pd, chr(code).upper())
    elif ch == 1:
        ticks += 1
        await pd.load(timer + countdown.EOI, 4)
        seconds = (await pd.load(clock, 4) | await pd.load(clock + 4, 4) << 32) // 10**9
        await say(pd, f"tick {ticks} in second {seconds}\\n")
        if ticks == 3:
            await pd.store(timer + countdown.CONTROL, 0, 4)
    else:
        refused = await pd.load(engine + dma.STATUS) & dma.ERROR
        await pd.store(engine + dma.STATUS, 6)
        text = "refused" if refused else (await pd.read(transfer + 0x1000, 4)).decode()
        await say(pd, f"engine: {text}\\n")
        if not refused:
            await copy(pd, 0x1_0400_0000)
    await pd.irq_ack(ch)
'''


def test_drivers_of_all_its_devices_run_in_a_described_system(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(run)
    for name, text in {"s.system": SYSTEM, "drivers.py": PROGRAM, "typed": "hello\n"}.items():
        (tmp_path / name).write_text(text)
    command = [str(tmp_path / "s.system"), "--board", "virt_sifive", "--input", str(tmp_path / "typed")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    lines = set(done.stdout.splitlines())
    ticks = {f"tick {n} in second 1735689600" for n in (1, 2, 3)}
    assert lines == {"say something", "HELLO", "engine: copy", "engine: refused", *ticks}
