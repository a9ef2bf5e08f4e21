"""The other interrupt controller against a model of what a source remembers: an edge, and whether it is held."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.aplic import Aplic

SOURCES = 2


@dataclass
class Source:
    """One source: its wire, the edge that was seen, whether it is let through and whether software holds it back."""

    edge: bool = False
    wire: bool = False
    seen: bool = False
    enabled: bool = False
    held: bool = False

    @property
    def pending(self) -> bool:
        return self.seen if self.edge else self.wire

    @property
    def ready(self) -> bool:
        return self.pending and self.enabled and not self.held

    def do(self, operation: str, flag: bool) -> None:
        if operation == "set_level":
            self.seen = self.seen or (self.edge and flag and not self.wire)
            self.wire = flag
        elif operation == "pulse":
            self.seen, self.wire = self.seen or self.edge, False
        elif operation == "set_trigger":
            self.edge, self.seen = flag, False
        elif operation == "set_enabled":
            self.enabled = flag
        else:
            self.held = False


def claim(model: dict[int, Source]) -> int:
    for irq, source in sorted(model.items()):
        if source.ready:
            source.seen, source.held = False, True
            return irq
    return 0


OPERATIONS = ["set_level", "pulse", "set_trigger", "set_enabled", "complete", "claim"]
steps = st.tuples(st.sampled_from(OPERATIONS), st.integers(1, SOURCES), st.booleans())


@settings(max_examples=60, deadline=None)
@given(script=st.lists(steps, min_size=40, max_size=80))
def test_follows_the_model(script):
    chip, model = Aplic(SOURCES), {irq: Source() for irq in range(1, SOURCES + 1)}
    for operation, irq, flag in script:
        if operation == "claim":
            assert chip.claim() == claim(model)
        else:
            getattr(chip, operation)(irq, *((flag,) if operation.startswith("set") else ()))
            model[irq].do(operation, flag)
        for number, expected in model.items():
            assert chip.is_pending(number) == expected.pending
            assert chip.is_enabled(number) == expected.enabled
            assert chip.in_service(number) == expected.held
        assert chip.pending() == any(source.ready for source in model.values())


def test_a_level_that_fell_is_forgotten_and_a_masked_source_can_be_completed():
    chip = Aplic(127)
    chip.set_enabled(4, True)
    chip.set_level(4, True)
    assert chip.pending()
    chip.set_level(4, False)
    assert chip.claim() == 0
    chip.set_level(4, True)
    assert (chip.claim(), chip.claim()) == (4, 0)
    chip.set_enabled(4, False)
    chip.complete(4)
    chip.set_enabled(4, True)
    assert chip.claim() == 4


@pytest.mark.parametrize("irq", [0, 128])
def test_there_are_no_other_sources(irq):
    with pytest.raises(ValueError, match="not in"):
        Aplic(127).pulse(irq)
    with pytest.raises(ValueError, match="at least one"):
        Aplic(0)
