"""A sample of the fault campaign, the same in both builds: what is aimed at a server hits the one domain of all."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from capkernel.tools.campaign.batch import Batch
from capkernel.tools.campaign.harms import Harm
from capkernel.tools.campaign.schedule import Planned
from capkernel.tools.campaign.subjects import AnyKind, Subject
from capkernel.tools.demo.storage import spread
from capkernel.tools.inject import Kind

SOFTWARE: Final = Kind.CRASH, Kind.HANG
POINTS: Final = 4
"""Of each kind in each server, if it is not everywhere."""
AHEAD: Final = 8
"""Steps of a domain in which something is to happen: about a round of the client, or two."""


@frozen
class Aim:
    """Something that is to go wrong: in whom (of the isolated build), what, so many steps ahead."""

    target: str
    kind: AnyKind
    ahead: int

    @property
    def is_software(self) -> bool:
        """Whether a program goes wrong, and not a device."""
        return self.kind in SOFTWARE


@frozen
class Outcome:
    """What came of the aims, in order: the harm that each did, or None; how often a domain was started anew."""

    aims: tuple[Aim, ...]
    harms: tuple[Harm | None, ...]
    activated: int
    restarts: int
    broken: int
    """Invariants of the kernel."""

    def harmful(self, *, software: bool) -> int:
        """How many faults of programs, or of devices, did harm."""
        return sum(bool(harm) for aim, harm in zip(self.aims, self.harms, strict=True) if aim.is_software is software)

    def count(self, *, software: bool) -> int:
        """How many there were."""
        return sum(aim.is_software is software for aim in self.aims)

    def told(self) -> str:
        """How often what happened."""
        found = Counter(str(harm) for harm in self.harms if harm is not None)
        return "; ".join(f"{number} × {harm}" for harm, number in found.items()) or "nothing"


def aims(isolated: Subject, servers: tuple[str, ...], *, everywhere: bool) -> Iterator[Aim]:
    """What is to be tried, by the isolated build's names."""
    for server in servers:
        for kind in SOFTWARE:
            yield from (Aim(server, kind, ahead) for ahead in spread(AHEAD, AHEAD if everywhere else POINTS))
    for target in isolated.targets:
        if target.device:
            yield from (Aim(target.name, kind, 1) for kind in target.kinds)


def play(subject: Subject, chosen: tuple[Aim, ...], seed: int = 0) -> Outcome:
    """All of it in one run, in turn; a client that died begins anew. The seed decides what the kinds leave open."""
    batch = Batch(subject)
    batch.warm_up()
    domain = subject.by_target.get(subject.domain)
    trials = []
    for number, aim in enumerate(chosen):
        target = subject.by_target.get(aim.target, domain)
        if target is None:
            raise ValueError(f"{subject.name} has no {aim.target}, and no domain of all")
        trials.append((Planned(target, aim.kind, aim.ahead, seed * len(chosen) + number, or_later=True),))
    result = batch.play_trials(trials)
    harms = {failed.trial: failed.harm for failed in result.failed if failed.trial >= 0}
    return Outcome(
        chosen[: result.trials], tuple(harms.get(trial) for trial in range(result.trials)),
        result.activated.total(), len(result.recoveries_us), sum(each.harm is Harm.INVARIANT for each in result.failed),
    )  # fmt: skip
