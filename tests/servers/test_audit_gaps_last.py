"""In every shipped system with an audit server, how many records are missing outlives that server's death."""

import struct
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from capkernel.protocols.audit_trail import Gap
from capkernel.tools.demo.stage import BOARD, BOARDS, SYSTEMS, Stage, find_system
from capkernel.user.messages import SharedRegion
from hwmodel.board import find_board
from hwmodel.network import NoPeer
from hwmodel.virtio import virtio_net, virtio_rng
from hwmodel.wiring import DeviceFactory
from servers.system.audit_gap import Missing, MissingRecords
from tests.servers.fakedisk import REGION, FakeDisk

REGION_NAME, PAGE, SIZE = "audit_gaps", 0x1000, 0x2000
GAP = Gap(7, ["shell", "broker"], 1200, 3400)
LONGEST_US = 3_000_000


def described() -> list[tuple[str, str]]:
    """The shipped descriptions that have an audit server: the system's name, and the variant or nothing."""
    found = []
    for name in sorted(entry_points(group=SYSTEMS).names):
        path = find_system(name)
        for each in sorted(path.parent.rglob(path.name)):
            if "audit_server.elf" in each.read_text():
                found.append((name, "" if each == path else str(each.parent.relative_to(path.parent))))
    return found


DESCRIBED = described()


def devices_of(path: Path, board: str) -> dict[str, DeviceFactory]:
    """What a system wants in its slots besides the disk, by the names of registers' regions."""
    text, devices = path.read_text(), dict[str, DeviceFactory]()
    for window in find_board(board).devices:
        place = f'phys_addr="{window.region.base:#x}"'
        if f'"entropy_registers" size="0x1000" {place}' in text:
            devices[window.name] = virtio_rng(seed=1)
        if f'"card_registers" size="0x1000" {place}' in text:
            devices[window.name] = virtio_net(NoPeer())
    return devices


def words_of(gap: Gap) -> tuple[int, ...]:
    """A page as a server leaves it that could not write records."""
    disk = FakeDisk(8)
    missing = MissingRecords(SharedRegion(REGION.vaddr, SIZE))
    for count in (1, gap.count):
        # The second time it writes into the first page.
        disk.run(missing.become(Missing(Gap(count, gap.authors, gap.first_us, gap.last_us))))
    return struct.unpack(f"<{PAGE // 8}Q", disk.memory[:PAGE])


def test_there_are_such_systems() -> None:
    names = {name for name, _ in DESCRIBED}
    assert names >= {"os", "console", "attackers", "replace_services", "policies", "composition"}
    assert ("console", "virt_sifive") in DESCRIBED


@pytest.mark.parametrize(("name", "variant"), DESCRIBED)
def test_what_is_missing_is_told_by_the_servers_next_life(name: str, variant: str) -> None:
    path = find_system(name)
    board = BOARDS.get(variant, BOARD)
    stage = Stage(name, variant=variant, devices=devices_of(path.parent / variant / path.name, board))

    def is_on_disk(text: bytes) -> bool:
        return text in stage.disk.contents()

    assert stage.run_until(lambda: is_on_disk(b"the trail begins; public key "), LONGEST_US)
    assert not any(stage.words(REGION_NAME, SIZE // 8)), "nothing is missing"
    stage.write_words(REGION_NAME, *words_of(GAP))
    lives = stage.injector.lives["audit"]
    stage.injector.crash_next("audit")
    said = f" audit {GAP.text} ".encode()
    assert stage.run_until(lambda: is_on_disk(said), LONGEST_US), "the next life does not know it"
    assert stage.injector.lives["audit"] == lives + 1
    stage.close()
