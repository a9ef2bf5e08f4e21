"""What is plugged into a machine from the command line: the right devices, and a clear word about everything else."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from capkernel.tools.plugs import KINDS, PlugError, plugged
from capkernel.tools.run import run
from hwmodel.board import QEMU_VIRT_RISCV64, VIRT_IOMMU
from hwmodel.machine import Machine
from hwmodel.rtc import TIME_HIGH, TIME_LOW
from hwmodel.virtio import registers as reg


def test_each_device_is_there(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(1 << 16))
    words = [f"virtio0=disk:{image}", "virtio1=disk:64K", "virtio2=net", "virtio3=entropy:5", "rtc0=clock:1970-01-02"]
    machine = Machine(VIRT_IOMMU, ram_size=2 << 20, devices=plugged(words, VIRT_IOMMU))
    found = [machine.devices[f"virtio{slot}"].read(reg.DEVICE_ID, 4) for slot in range(5)]
    assert found == [2, 2, 1, 4, 0]
    clock = machine.devices["rtc0"]
    low = clock.read(TIME_LOW, 4)
    assert low | clock.read(TIME_HIGH, 4) << 32 == 86_400 * 10**9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["virtio0"], "is not SLOT=KIND"), (["virtio0=tape"], "is not SLOT=KIND"),
        (["virtio8=disk:1M"], "virtio0, virtio1"), (["rtc0=disk:1M"], "virtio0, virtio1"),
        (["virtio0=disk"], "disk:SIZE"), (["virtio0=disk:/no/such/image"], "No such file"),
        (["virtio0=net:wire"], "net:tap:NAME"), (["virtio0=net:tap:" + 30 * "x"], "1 to 15 bytes"),
        (["virtio0=entropy:x"], "a number"), (["rtc0=clock:soon"], "soon"), (["rtc0=clock:1969-01-01"], "1970"),
        (["virtio0=net", "virtio0=net"], "already"), (["virtio0=net:"], "nothing stands behind the colon"),
        (["rtc0=clock"], "clock:2026-01-31T12:00"), (["rtc0=clock:9999-12-31"], "until 2554"),
        (["virtio0=disk:0M"], "one at least, not 0 bytes"), (["virtio0=disk:9999999999G"], "at most"),
        (["virtio0=entropy:\N{FULLWIDTH DIGIT ONE}"], "a number"), (["virtio0=entropy:" + 5000 * "9"], "100 digits"),
        (["virtio0=disk:" + 5000 * "9" + "M"], "a disk in memory has at most"),
        (["virtio0=disk:" + 5000 * "9"], "File name too long"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(words: list[str], said: str) -> None:
    with pytest.raises(PlugError) as refused:
        plugged(words, VIRT_IOMMU)
    assert said in str(refused.value)
    assert repr(words[-1]) in str(refused.value)


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_a_file_that_is_no_whole_sectors_is_no_disk(tmp_path: Path, size: int) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(size))
    with pytest.raises(PlugError, match=f"whole sectors of 512 bytes, one at least; the file has {size} bytes"):
        plugged([f"virtio0=disk:{image}"], VIRT_IOMMU)


def test_a_board_without_such_a_slot_is_named() -> None:
    with pytest.raises(PlugError, match="qemu_virt_riscv64: no slot"):
        plugged(["rtc0=clock:2026-01-31"], QEMU_VIRT_RISCV64)


@given(
    st.sampled_from(["virtio0", "rtc0", ""]), st.sampled_from([*KINDS, ""]),
    st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=8),
)  # fmt: skip
def test_nothing_that_is_written_ends_otherwise(slot: str, kind: str, argument: str) -> None:
    with suppress(PlugError):
        plugged([f"{slot}={kind}:{argument}"], VIRT_IOMMU)


def test_an_installed_system_runs_by_its_name_with_what_it_needs() -> None:
    app = Typer()
    app.command()(run)
    words = ["--board", "virt_iommu", "--device", "virtio0=disk:1M", "--device", "virtio1=entropy:3", "--time", "20"]
    result = CliRunner().invoke(app, ["console", *words])
    assert result.exit_code == 0, result.output
    assert "files: the same what was written" in result.output
    said = CliRunner().invoke(app, ["no-such-system"]).output
    assert "no system is named 'no-such-system'; there are " in said
    assert ", console, " in said
