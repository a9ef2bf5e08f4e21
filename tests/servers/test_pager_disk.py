"""A pager with a disk of its own: pages that have no room go there, as many as it holds, and into no file."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from capkernel.protocols.memory import PAGE
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import State, Status
from capkernel.tools.demo.stage import find_system
from capkernel.tools.inject import Fault, Kind
from hwmodel.block import SECTOR, RamDisk
from hwmodel.virtio import virtio_blk
from tests.servers.process_bench import CLIENTS, PAGER, World, play
from tests.servers.test_pager import fill_and_sum

PAGES, FRAMES = 24, 4
DRIVER = """
            <protection_domain name="swapdisk" id="5" priority="200">
                <program_image path="virtio_blk.elf" />
                <map mr="swap_registers" vaddr="0x3000000" perms="rw" cached="false" setvar_vaddr="registers" />
                <map mr="swap_rings" vaddr="0x3001000" perms="rw" setvar_vaddr="rings" />
                <map mr="swap_transfer" vaddr="0x3100000" perms="rw" setvar_vaddr="transfer" />
                <irq irq="2" id="0" />
            </protection_domain>
            <protection_domain name="pager" id="4" priority="145">
                <map mr="swap_transfer" vaddr="0x6000000" perms="rw" setvar_vaddr="swap_transfer" />
"""
REGIONS = """
    <memory_region name="swap_registers" size="0x1000" phys_addr="0x10002000" />
    <memory_region name="swap_rings" size="0x1000" />
    <memory_region name="swap_transfer" size="0x10000" />
    <io_address_space name="swapdisk" peripheral_id="0:9.0" domain_id="9">
        <iomap mr="swap_rings" iovaddr="0x10000000" perms="rw" />
        <iomap mr="swap_transfer" iovaddr="0x20000000" perms="rw" />
    </io_address_space>
    <?capkernel owner io_address_space="swapdisk" pd="swapdisk"?>
    <channel><end pd="supervisor" id="15" /><end pd="swapdisk" id="1" /></channel>
    <channel><end pd="swapdisk" id="2" notify="false" /><end pd="pager" id="23" pp="true" notify="false" /></channel>
    <?capkernel grant pd="supervisor" kind="lifecycle" of="swapdisk" slot="335"?>
    <?capkernel grant pd="swapdisk" kind="reply" slot="302"?>
    <?capkernel grant pd="swapdisk" kind="reply" slot="303"?>
    <?capkernel grant pd="swapdisk" kind="reply" slot="304"?>
    <?capkernel grant pd="swapdisk" kind="reply" slot="305"?>
</system>
"""
SERVICE = """
[[service]]
label = "swapdisk"
child = 5
patience = 2
"""


@pytest.fixture
def variant(tmp_path: Path) -> Path:
    """The system of processes, with a second disk, for the pager alone."""
    found = find_system("processes")
    text = found.read_text()
    before = '\n            <protection_domain name="pager" id="4" priority="145">\n'
    assert before in text
    (tmp_path / found.name).write_text(text.replace(before, DRIVER).replace("</system>\n", REGIONS.lstrip("\n")))
    (tmp_path / "processes.toml").write_text((found.parent / "processes.toml").read_text() + SERVICE)
    shutil.copy(found.parent / "processes_quotas.toml", tmp_path)
    shutil.copy(CLIENTS / "story_client.py", tmp_path)
    return tmp_path


def test_pages_go_to_the_disk_and_come_back_whoever_dies(monkeypatch: Any, variant: Path) -> None:
    def run(fault: Fault | None) -> tuple[Any, int, Any]:
        infos: list[Any] = []

        async def story(world: World) -> None:
            segment = await world.at(Pager, PAGER).zeros(PAGES * PAGE, FRAMES)
            child = await world.spawn(await world.puppet(), "fill_and_sum", str(PAGES), segment=segment)
            assert await child.wait() == Status(State.EXITED, PAGES * (PAGES + 1))
            if fault is None:
                infos.append(await segment.info())
                assert "swap" not in [entry.name for entry in await world.files.list(0)]

        stage = play(
            monkeypatch, story, watch=lambda stage: stage.injector.faults.extend([fault] if fault else []),
            variant=variant, devices={"virtio1": virtio_blk(RamDisk(64 * PAGE))}, fill_and_sum=fill_and_sum,
        )  # fmt: skip
        device: Any = stage.system.machine.devices["virtio1"]
        written = device.function.cached_sectors
        stage.close()
        return stage.injector, written, infos

    calm, written, (info,) = run(None)
    assert info.page_outs >= 2 * PAGES - FRAMES
    assert written == PAGES * PAGE // SECTOR
    for name, part in (("swapdisk", 0.5), ("pager", 0.6)):
        fault = Fault(name, int(part * calm.steps[name]), Kind.CRASH)
        injector, _, _ = run(fault)
        assert injector.activated == [fault]


def test_a_page_that_has_no_room_on_the_disk_ends_its_process_and_nobody_else(
    monkeypatch: Any, variant: Path
) -> None:
    async def story(world: World) -> None:
        pager = world.at(Pager, PAGER)
        program = await world.puppet()
        large = await pager.zeros(PAGES * PAGE, FRAMES)
        ended = await (await world.spawn(program, "fill_and_sum", str(PAGES), segment=large)).wait()
        assert (ended.state, ended.fault) == (State.FAULTED, "VMFault")
        await large.drop()
        small = await pager.zeros(8 * PAGE, FRAMES)
        assert await (await world.spawn(program, "fill_and_sum", "8", segment=small)).wait() == Status(State.EXITED, 72)

    play(
        monkeypatch, story, variant=variant, devices={"virtio1": virtio_blk(RamDisk(8 * PAGE))},
        fill_and_sum=fill_and_sum,
    ).close()  # fmt: skip
