"""What a system used between two moments that its programs name."""

import pytest

from bench.columns import Work
from capkernel.tools.contrast.price import DISK_BYTES
from capkernel.tools.demo.stage import Stage
from capkernel.tools.meter import Meter, run_to
from hwmodel.block import RamDisk

LONGEST_US = 200_000


def measured() -> Stage:
    return Stage("monolith", variant="measured", disk=RamDisk(DISK_BYTES))


def test_between_two_marks_only_what_lies_between_them_is_counted() -> None:
    stage = measured()
    run_to(stage, 1, LONGEST_US)
    meter, entries, ticks = Meter(stage), stage.system.loop.entries, stage.system.machine.now()
    run_to(stage, 2, LONGEST_US)
    cost = meter.cost(4)
    assert cost.kernel_entries == (stage.system.loop.entries - entries) / 4
    assert cost.cycles == (stage.system.machine.now() - ticks) / 4
    assert cost.virtual_us == pytest.approx((cost.cycles or 0) / 10)
    assert meter.each(2)[0] == 2 * (cost.kernel_entries or 0)
    stage.close()


def test_a_mark_that_nobody_reaches_is_an_error() -> None:
    stage = measured()
    with pytest.raises(RuntimeError, match="as far as 99"):
        run_to(stage, 99, LONGEST_US)
    stage.close()


@pytest.mark.parametrize(("work", "virtual_us", "told"), [
    (Work("read", 4096), 4.0, "976.6 MiB/s"), (Work("create"), 4.0, "250,000 /s"), (Work("create"), None, "–"),
    (Work("create"), 0.0, "no time"),
])  # fmt: skip
def test_throughput_is_of_one_after_the_other(work: Work, virtual_us: float | None, told: str) -> None:
    assert work.throughput(virtual_us) == told
