"""Card driver, network server, web server, files and clients in one domain: whoever is outside sees no difference."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from capkernel.tools.demo.stage import Stage
from hwmodel.virtio import virtio_net
from servers.clients.churning import ERRORS, LOST
from servers.clients.network_user import far_host
from tests.servers.net.wire import needs_lwip

LONGEST_US, SLICE_US = 3_000_000, 200
TICKS_PER_MS = 10_000
FETCHED = 4
"""Pages for each browser."""


def in_the_network(name: str, **options: Any) -> SimpleNamespace:
    """A system whose web server has given browsers outside so many pages, beside a client who has bytes sent back."""
    host = far_host()
    stage = Stage(name, devices={"virtio1": virtio_net(host)}, **options)
    stage.booted.boot()
    host.clock = lambda: stage.system.machine.now() // TICKS_PER_MS

    def has_enough() -> bool:
        host.is_browsing = bool(stage.words("published", 1)[0])
        return all(browser.fetched >= FETCHED for browser in host.browsers) and stage.words("report", 1)[0] > 40

    for _ in range(0, LONGEST_US, SLICE_US):
        if has_enough():
            break
        assert stage.system.run(time_us=SLICE_US) == "time"
        stage.system.machine.poll_input()
    found = SimpleNamespace(
        enough=has_enough(), report=stage.words("report", 4),
        browsers=[(each.failed, each.wrong) for each in host.browsers],
        published=stage.words("published", 2), faults=stage.system.faults, trace=stage.booted.trace.hash(),
        entries=stage.system.loop.entries,
    )  # fmt: skip
    stage.close()
    return found


MONOLITH = partial(in_the_network, "monolith_network")


@needs_lwip
@pytest.mark.slow
def test_browsers_outside_and_a_client_inside_get_every_byte_of_a_monolith_and_of_isolated_servers() -> None:
    linked, isolated = MONOLITH(), in_the_network("network", programs={"client": "net_churner.elf"})
    for each in (linked, isolated):
        assert each.enough
        assert each.published == (1, 0)
        assert each.report[LOST // 8] == each.report[ERRORS // 8] == 0
        assert set(each.browsers) == {(0, 0)}
        assert not each.faults
    assert linked.entries < isolated.entries


@needs_lwip
def test_a_monolith_goes_the_same_way_each_time() -> None:
    assert MONOLITH().trace == MONOLITH().trace
