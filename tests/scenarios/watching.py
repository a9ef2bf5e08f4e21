"""Runs of shipped systems that are held against their ceilings at every kernel entry, with invariants on."""

from attrs import define, field

from capkernel.system.authority import AuthorityGraph, authority_of
from capkernel.system.ceiling import Ceiling, read_ceiling
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.tour_systems import Booted
from hwmodel.cpu.trap import Trap
from specs.ceilings import CeilingSampler


def graph_of(booted: Booted) -> AuthorityGraph:
    """What its description gives."""
    said = booted.system.extensions
    return authority_of(booted.system.system, said.grants, has_debug_calls=said.options.debug)


def shipped_ceiling(name: str, graph: AuthorityGraph) -> Ceiling:
    """The ceiling that comes with a system."""
    return read_ceiling((find_system(name).parent / f"{name}_ceiling.toml").read_text(), graph)


@define
class Watch:
    """To be called with a stage on which ``name`` plays; then live authority is held against the ceiling at each entry.

    All invariants are checked at each ``every``-th entry; from each fault on, at every single one of ``close``. Where
    ``late`` is set nothing is looked at before the first fault, and nothing more than ``late`` entries after it.
    """

    name: str
    every: int
    close: int = 0
    late: int = 0
    sampler: CeilingSampler | None = field(default=None)
    _stage: Stage | None = None
    _faults: int = 0
    _until: int = 0

    def __call__(self, stage: Stage) -> None:
        """Begin."""
        self._stage = stage
        stage.system.loop.observers.append(self._after)
        if not self.late:
            self._look()

    @property
    def checked(self) -> int:
        """At how many kernel entries live authority was held against the ceiling."""
        return 0 if self.sampler is None else self.sampler.judged

    @property
    def violations(self) -> list[str]:
        """What was wrong."""
        return [] if self.sampler is None else self.sampler.violations

    def _look(self) -> None:
        assert self._stage is not None
        graph = graph_of(self._stage.booted)
        self.sampler = CeilingSampler(self._stage.system, graph, shipped_ceiling(self.name, graph), self.every)

    def _after(self, trap: Trap) -> None:
        assert self._stage is not None
        entries, faults = self._stage.system.loop.entries, len(self._stage.injector.activated)
        if faults > self._faults:
            self._faults, self._until = faults, entries + self.close
            if self.sampler is None:
                self._look()
        if self.sampler is not None:
            self.sampler.every = 1 if entries <= self._until else self.every
            if self.late and self.sampler.judged >= self.late:
                self.sampler.stop()
