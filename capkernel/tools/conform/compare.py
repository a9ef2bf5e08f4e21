"""Holding what was observed against what was recorded."""

from typing import Any

from capkernel.tools.conform.steps import value_of

_ADDRESS_WORDS = ("pc", "tp")
_OBSERVED = ("err", "mrs", "paddr", "done", "busy", "unstarted", "map", "res")


def same(expected: Any, actual: Any) -> bool:
    """Whether an observation agrees with the record; ``null`` agrees with everything, symbols with their word."""
    if expected is None:
        return True
    if isinstance(expected, list):
        if len(expected) in (2, 3) and expected[0] in _ADDRESS_WORDS:
            return bool(actual == value_of(expected))
        return isinstance(actual, list) and len(expected) == len(actual) and all(map(same, expected, actual))
    if isinstance(expected, dict):
        return isinstance(actual, dict) and expected.keys() == actual.keys() and all(
            same(value, actual[key]) for key, value in expected.items()
        )  # fmt: skip
    return bool(expected == actual)


def differences(record: dict[str, Any], seen: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The observed fields in which a record and what we saw differ: name → (expected, actual)."""
    keys = [key for key in _OBSERVED if key in record or key in seen]
    if "err" not in record:
        # Of a system call (not an invocation) the message words are what was sent.
        keys = [key for key in keys if key != "mrs"]
    return {
        key: (record.get(key), seen.get(key)) for key in keys
        if (key in record) != (key in seen) or not same(record.get(key), seen.get(key))
    }  # fmt: skip
