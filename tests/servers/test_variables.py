"""What is set for a test's program is not found by a system that is booted later."""

from servers.drivers import virtio_blk, virtio_blk_elevator
from tests.servers.variables import restore_variables, set_variable


def test_a_program_that_inherits_from_another_has_its_own_values_after_the_test() -> None:
    before = virtio_blk_elevator.Program.rings_io
    set_variable(virtio_blk, "rings_io", before + 1)
    set_variable(virtio_blk, "rings_io", before + 2)
    set_variable(virtio_blk_elevator, "rings_io", before + 3)
    assert (virtio_blk.Program.rings_io, virtio_blk_elevator.Program.rings_io) == (before + 2, before + 3)
    restore_variables()
    assert virtio_blk.Program.rings_io == virtio_blk_elevator.Program.rings_io == before
    assert "rings_io" not in vars(virtio_blk_elevator.Program)
