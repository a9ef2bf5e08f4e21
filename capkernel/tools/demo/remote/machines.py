"""Several simulated machines that run in lock step, each with a gateway, on one wire."""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from capkernel.tools.demo.remote.keys import SECRET_BYTES, Offered, Plan
from capkernel.tools.demo.remote.wire import Weather, Wire
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault
from hwmodel.rtc import real_time_clock
from hwmodel.virtio import virtio_net, virtio_rng

SYSTEM = "remote"
SLICE_US = 1_000
"""Between two looks of the machines at what is on the wire."""
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OFFERS = (Offered("c", "library", "a"), Offered("b", "copier", "a"))


class Machines:
    """The machines, by name: ``users`` are the programs of their users, ``gateways`` those that differ from the usual.

    ``skew`` is by how many seconds a machine's clock is ahead; those that are ``absent`` are known, but not there.
    ``slice_us`` is how long a machine runs until it sees what is on the wire: the wire's delay.
    """

    def __init__(
        self, users: Mapping[str, str], *, seed: int = 0, offers: tuple[Offered, ...] = OFFERS,
        weather: Weather | None = None, gateways: Mapping[str, str] | None = None,
        faults: Mapping[str, tuple[Fault, ...]] | None = None, suites: tuple[str, ...] = ("encrypted",),
        skew: Mapping[str, int] | None = None, extra: dict[str, str] | None = None, absent: tuple[str, ...] = (),
        slice_us: int = SLICE_US,
    ) -> None:  # fmt: skip
        secrets = {name: Random(f"{seed} {name}").randbytes(SECRET_BYTES) for name in (*users, *absent)}
        self.plan = Plan(secrets, offers, suites, extra or {})
        self.wire = Wire({name: self.plan.address(name) for name in users}, seed, weather or Weather())
        self.stages: dict[str, Stage] = {}
        with tempfile.TemporaryDirectory() as place:
            for number, (name, user) in enumerate(sorted(users.items())):
                self.plan.write(name, Path(place) / name)
                programs = {"user": f"{user}.elf"}
                if gateways and name in gateways:
                    programs["gateway"] = f"{gateways[name]}.elf"
                epoch = int(EPOCH.timestamp()) + (skew or {}).get(name, 0)
                self.stages[name] = Stage(
                    SYSTEM, seed=seed, variant=str(Path(place) / name), programs=programs,
                    faults=(faults or {}).get(name, ()),
                    devices={
                        "virtio1": virtio_net(self.wire.ends[name], mac=self.plan.address(name)),
                        "virtio2": virtio_rng(1 + 16 * seed + number), "rtc0": real_time_clock(epoch * 10**9),
                    },
                )  # fmt: skip
        for stage in self.stages.values():
            stage.booted.boot()
        self.slice_us = slice_us
        self.passed_us = 0

    def __getitem__(self, name: str) -> Stage:
        return self.stages[name]

    def run(self, *, time_us: int) -> None:
        """Let all machines run for so long."""
        self.run_until(lambda: False, time_us)

    def run_until(self, is_over: Callable[[], bool], longest_us: int) -> bool:
        """Let all machines run until something is so; false if it never was."""
        for _ in range(0, longest_us, self.slice_us):
            if is_over():
                return True
            for stage in self.stages.values():
                stage.system.run(time_us=self.slice_us)
                stage.system.machine.poll_input()
            self.passed_us += self.slice_us
        return is_over()

    @property
    def trace_hash(self) -> str:
        """Of all machines together."""
        return hashlib.sha256("".join(stage.booted.trace.hash() for stage in self.stages.values()).encode()).hexdigest()

    def close(self) -> None:
        """Give up the programs."""
        for stage in self.stages.values():
            stage.close()
