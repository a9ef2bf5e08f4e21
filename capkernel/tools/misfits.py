"""Programs that cannot work as a description connects them, told with their place, by whoever offers to judge that."""

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from capkernel.system.description import SystemDescription
from capkernel.system.diagnostics import Diagnostic, Location
from capkernel.system.extensions import Extensions
from capkernel.user.described import CONNECTIONS, ConnectionJudge, DescribedDomain, Misfit


def misfits(
    system: SystemDescription, said: Extensions, domains: Mapping[str, DescribedDomain]
) -> Iterator[Diagnostic]:  # fmt: skip
    """Everything that is wrong."""
    for point in entry_points(group=CONNECTIONS):
        judge: ConnectionJudge = point.load()
        for each in judge(domains):
            yield Diagnostic(_place(system, said, each), f"'{each.domain}': {each.message}", each.hint)


def _place(system: SystemDescription, said: Extensions, misfit: Misfit) -> Location:
    """Where the description says what is wrong."""
    pd = system.pd(misfit.domain)
    ends = [end.where for end, _ in system.ends(pd.name) if end.id == misfit.channel]
    irqs = [irq.where for irq in pd.irqs if irq.id == misfit.channel]
    slots = [grant.where for grant in said.grants if (grant.pd, grant.slot) == (pd.name, misfit.slot)]
    return (*ends, *irqs, *slots, pd.where)[0]
