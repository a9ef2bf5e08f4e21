"""What a specification says that this kernel's numbers leave no room for, found before anything is built."""

from collections.abc import Iterator

from capkernel.kernel.boot import ROOT_PRIORITY
from capkernel.system.capdl.checks import impossible
from capkernel.system.capdl.model import Spec


def refusals(spec: Spec) -> list[str]:
    """All that no kernel can do and that this one cannot, each with its place; empty if there is nothing."""
    return [*impossible(spec), *(f"{spec.said(name)}{text}" for name, text in _priorities(spec))]


def _priorities(spec: Spec) -> Iterator[tuple[str, str]]:
    for name, thing in spec.objects.items():
        for parameter in ("prio", "max_prio") if thing.kind == "tcb" else ():
            value = thing.number(parameter)
            if value > ROOT_PRIORITY:
                yield name, f"{name} cannot have {parameter} {value}: priorities are 0 .. {ROOT_PRIORITY}"
