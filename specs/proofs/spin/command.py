"""Spin against the explored kernel, configuration by configuration, with a report."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from specs.explore.configurations import CONFIGURATIONS
from specs.proofs.spin.compare import Comparison, SpinError, compare, missing_tools, verifier

EQUAL, WRONG, NOT_RUN = 0, 1, 3


def compared(names: Sequence[str]) -> Iterator[Comparison]:
    """The configurations of these names (none: all), one by one. Raises SpinError, and KeyError for an unknown name."""
    with verifier() as folder:
        for configuration in [CONFIGURATIONS[name] for name in names] or CONFIGURATIONS.values():
            yield compare(folder, configuration)


def main(names: Sequence[str], *, as_json: bool = False) -> int:
    """Exit status: 0 the same states in every configuration, 1 not so, 3 nothing was run, since a tool is missing."""
    missing = missing_tools()
    if missing:
        print(f"NOT RUN: {', '.join(missing)} not found (Debian: apt-get install spin gcc)")
        return NOT_RUN
    unknown = [name for name in names if name not in CONFIGURATIONS]
    if unknown:
        print(f"there is no configuration {unknown[0]!r}; `capkernel explore --list` shows what there is")
        return WRONG
    results = []
    try:
        for result in compared(names):
            results.append(result)
            if not as_json:
                _tell(result)
    except SpinError as error:
        print(error)
        return WRONG
    equal = sum(result.agrees for result in results)
    if as_json:
        print(json.dumps([_described(result) for result in results], indent=1))
    else:
        states = sum(result.spin_states for result in results)
        print(f"spin: {equal} of {len(results)} configurations have the same {states:,} states in model and kernel")
    return EQUAL if equal == len(results) else WRONG


def _tell(result: Comparison) -> None:
    print(f"{result.name}: kernel {result.states:,} states, model {result.spin_states:,}", flush=True)
    if not result.agrees:
        print(result.difference())


def _described(result: Comparison) -> dict[str, Any]:
    return {
        "name": result.name, "agrees": result.agrees, "kernel_states": result.states,
        "model_states": result.spin_states, "model_transitions": result.spin_transitions,
        "difference": "" if result.agrees else result.difference(),
    }  # fmt: skip
