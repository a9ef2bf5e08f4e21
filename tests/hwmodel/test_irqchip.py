"""The interrupt controller against a model of one gateway and one pending bit a source."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.irqchip import IrqChip

SOURCES = 2


@dataclass
class Source:
    """One source as the specification tells it: wire, gateway, pending bit, enable bit."""

    edge: bool = False
    wire: bool = False
    gateway_closed: bool = False
    waiting_edge: bool = False
    pending: bool = False
    enabled: bool = False

    def signal(self):
        if self.gateway_closed:
            self.waiting_edge = self.waiting_edge or self.edge
        else:
            self.pending = True

    def set_level(self, asserted):
        rising, self.wire = asserted and not self.wire, asserted
        if rising:
            self.signal()

    def pulse(self):
        self.wire = False
        self.signal()

    def set_trigger(self, edge):
        self.edge, self.waiting_edge = edge, False
        if not edge and self.wire:
            self.signal()

    def complete(self):
        if self.enabled and self.gateway_closed:
            self.gateway_closed = False
            again, self.waiting_edge = (self.waiting_edge if self.edge else self.wire), False
            if again:
                self.signal()


def claim(model: dict[int, Source]) -> int:
    for irq, source in sorted(model.items()):
        if source.pending and source.enabled:
            source.pending, source.gateway_closed = False, True
            return irq
    return 0


steps = st.tuples(
    st.sampled_from(["set_level", "pulse", "set_trigger", "enable", "complete", "claim"]),
    st.integers(1, SOURCES),
    st.booleans(),
)


@settings(max_examples=80, deadline=None)
@given(script=st.lists(steps, min_size=40, max_size=80))
def test_follows_the_model(script):
    chip, model = IrqChip(SOURCES), {irq: Source() for irq in range(1, SOURCES + 1)}
    for operation, irq, flag in script:
        source = model[irq]
        if operation == "set_level":
            chip.set_level(irq, flag)
            source.set_level(flag)
        elif operation == "pulse":
            chip.pulse(irq)
            source.pulse()
        elif operation == "set_trigger":
            chip.set_trigger(irq, flag)
            source.set_trigger(flag)
        elif operation == "enable":
            chip.set_enabled(irq, flag)
            source.enabled = flag
        elif operation == "complete":
            chip.complete(irq)
            source.complete()
        else:
            assert chip.claim() == claim(model)
        for number, expected in model.items():
            assert chip.is_pending(number) == expected.pending
            assert chip.is_enabled(number) == expected.enabled
            assert chip.in_service(number) == expected.gateway_closed
        assert chip.pending() == any(s.pending and s.enabled for s in model.values())


def test_a_level_still_asserted_comes_back_after_completion():
    chip = IrqChip()
    chip.set_enabled(10, True)
    chip.set_level(10, True)
    assert chip.claim() == 10
    assert not chip.pending()
    chip.complete(10)
    assert chip.claim() == 10
    chip.set_level(10, False)
    chip.complete(10)
    assert chip.claim() == 0


def test_the_lowest_number_wins():
    chip = IrqChip()
    for irq in (30, 5, 95):
        chip.set_enabled(irq, True)
        chip.pulse(irq)
    assert [chip.claim() for _ in range(4)] == [5, 30, 95, 0]


def test_completion_of_a_disabled_source_is_ignored():
    chip = IrqChip()
    chip.set_enabled(3, True)
    chip.set_level(3, True)
    assert chip.claim() == 3
    chip.set_enabled(3, False)
    chip.complete(3)
    chip.set_enabled(3, True)
    assert chip.claim() == 0
    chip.complete(3)
    assert chip.claim() == 3


@pytest.mark.parametrize("irq", [0, 96, -1])
def test_there_are_no_other_sources(irq):
    with pytest.raises(ValueError, match="not in"):
        IrqChip(95).pulse(irq)
