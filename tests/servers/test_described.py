"""What the shell says a domain was given: all that stands in the system's description."""

import pytest

from capkernel.protocols.failures import NotFound
from capkernel.system.board import find_board
from capkernel.system.microkit import load
from capkernel.tools.demo.stage import BOARD, find_system
from servers.shell.described import Description

PATH = find_system("os")
SAID = Description(PATH.read_text())


@pytest.mark.parametrize("driver", ["disk", "card", "entropy"])
def test_a_driver_has_its_device_interrupt_and_io_address_space_with_what_is_mapped_there(driver: str) -> None:
    lines = SAID.caps_of(driver)
    system = load(PATH, search_path=[PATH.parent], board=find_board(BOARD))
    (space,) = [each for each in system.io_address_spaces if each.name == driver]
    pd = system.pd(driver)
    start = next(n for n, line in enumerate(lines) if line.startswith(f"the I/O address space {driver} of device "))
    mapped = lines[start + 1 : start + 1 + len(space.maps)]
    assert mapped == [f"  memory {each.region} at {each.iovaddr:#x}: rw" for each in space.maps]
    assert not any(line.startswith("  ") for line in lines[start + 1 + len(space.maps) :])
    device = system.region(f"{driver}_registers")
    assert f"device frames {driver}_registers at {device.phys_addr:#x}: rw" in lines
    (irq,) = pd.irqs
    assert f"the IRQ handler of interrupt {irq.irq}, on channel {irq.id}" in lines


def test_who_has_no_device_has_no_io_address_space() -> None:
    for name in ("files", "timer", "shell"):
        assert not any("I/O address space" in line for line in SAID.caps_of(name))


def test_every_io_address_space_of_the_description_is_somebodys() -> None:
    names = [line.split()[4] for name in SAID.domains for line in SAID.caps_of(name) if "I/O address space" in line]
    assert sorted(names) == sorted(each.get("name") or "" for each in SAID.root.iter("io_address_space"))


def test_an_io_address_space_in_which_nothing_is_mapped_is_told() -> None:
    text = (
        '<system><protection_domain name="d"/><io_address_space name="s" peripheral_id="0:8.0"/>'
        '<?capkernel owner io_address_space="s" pd="d"?></system>'
    )
    assert Description(text).caps_of("d") == ["the I/O address space s of device 0:8.0: nothing is mapped in it"]


def test_a_domain_that_is_not_there_is_told() -> None:
    with pytest.raises(NotFound):
        SAID.caps_of("nobody")
