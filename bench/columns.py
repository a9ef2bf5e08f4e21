"""A table of what things cost in each build, one build under the other."""

from collections.abc import Mapping

from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table

from capkernel.tools.meter import Cost

MIB = 1 << 20
HEADINGS = (
    "what", "build", "kernel entries", "bytes copied", "cycles", "latency µs", "throughput", "host µs", "× alone",
)
LEFT = ("what", "build")


@frozen
class Work:
    """Something that is measured: its name, and how many bytes it moves, or 0 if those do not matter."""

    name: str
    size: int = 0

    def throughput(self, virtual_us: float | None) -> str:
        """How much of it there is in a second of virtual time, one after the other."""
        if not virtual_us:
            return "–" if virtual_us is None else "no time"
        if self.size:
            return f"{self.size / virtual_us * 1e6 / MIB:.1f} MiB/s"
        return f"{1e6 / virtual_us:,.0f} /s"


Found = Mapping[str, Mapping[str, Cost]]
"""Builds by name, and in each the costs of works by their kinds. The last build is the library alone."""


def show(works: Mapping[str, Work], found: Found) -> None:
    """Print the table."""
    table = Table()
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in LEFT else "right")
    *_, alone = found.values()
    for kind, work in works.items():
        for build, costs in found.items():
            if kind in costs:
                table.add_row(work.name, build, *_cells(work, costs[kind], alone.get(kind)))
        table.add_section()
    console = Console(highlight=False)
    console.width = max(console.width, 130)
    console.print(table)
    console.print(
        "A cycle is a tick of the machine's clock: 100 ns of virtual time. Time passes in the kernel (1 µs an entry)\n"
        "and while a device is at work; a program's own computing takes none. What devices copy is not counted."
    )


def _cells(work: Work, cost: Cost, alone: Cost | None) -> list[str]:
    return [
        _number(cost.kernel_entries, ".1f"), _number(cost.copied, ",.0f"), _number(cost.cycles, ",.1f"),
        _number(cost.virtual_us, ",.2f"), work.throughput(cost.virtual_us), f"{cost.host_us:,.0f}",
        f"{cost.host_us / alone.host_us:.1f}" if alone is not None else "–",
    ]  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def data(found: Found) -> dict[str, dict[str, dict[str, float | None]]]:
    """The same for JSON."""
    return {build: {kind: asdict(cost) for kind, cost in costs.items()} for build, costs in found.items()}
