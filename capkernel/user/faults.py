"""Fault messages, as a handler receives them."""

from collections.abc import Sequence

from attrs import frozen

from capkernel.abi import errors as err
from capkernel.abi import faults as flt

_FIELDS: dict[int, tuple[str, ...]] = {
    flt.CAP_FAULT: ("ip", "cptr", "in_receive_phase", "lookup_failure"),
    flt.UNKNOWN_SYSCALL: ("ip", "sp", "ra", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "syscall"),
    flt.USER_EXCEPTION: ("ip", "sp", "number", "code"),
    flt.TIMEOUT: ("data", "consumed"),
    flt.VM_FAULT: ("ip", "address", "is_fetch", "status"),
}
_ACCESSES = {flt.CAUSE_FETCH_ACCESS: "fetch", flt.CAUSE_LOAD_ACCESS: "load", flt.CAUSE_STORE_ACCESS: "store"}
_EXCEPTIONS = {
    flt.CAUSE_ILLEGAL_INSTRUCTION: "illegal instruction",
    flt.CAUSE_BREAKPOINT: "breakpoint (a Python program returned or raised)",
    flt.CAUSE_LOAD_MISALIGNED: "misaligned load", flt.CAUSE_STORE_MISALIGNED: "misaligned store",
}  # fmt: skip


@frozen
class Fault:
    """A fault: its name (VMFault, CapFault, UserException, UnknownSyscall, Timeout) and its words by name."""

    name: str
    words: dict[str, int]

    def __getitem__(self, field: str) -> int:
        return self.words[field]

    def __str__(self) -> str:
        words = self.words
        match self.name:
            case "VMFault":
                access = _ACCESSES.get(words["status"], "access")
                return f"VMFault: {access} at {words['address']:#x}, pc {words['ip']:#x}"
            case "UserException":
                what = _EXCEPTIONS.get(words["number"], f"cause {words['number']}")
                return f"UserException: {what}, pc {words['ip']:#x}"
            case "CapFault":
                why = err.LOOKUP_FAILURE_NAMES.get(words["lookup_failure"], "lookup failure")
                return f"CapFault: {why} of {words['cptr']:#x}, pc {words['ip']:#x}"
            case _:
                return f"{self.name}: {', '.join(f'{name} {word:#x}' for name, word in words.items())}"


def decode_fault(label: int, words: Sequence[int]) -> Fault:
    """The fault in a message. Raises ValueError if the label is no fault's or words are missing."""
    fields = _FIELDS.get(label)
    if fields is None:
        raise ValueError(f"label {label} is no fault; faults are {', '.join(flt.FAULT_NAMES.values())}")
    needed = 1 if label == flt.TIMEOUT else len(fields)
    if len(words) < needed:
        raise ValueError(f"a {flt.FAULT_NAMES[label]} message has at least {needed} words, not {len(words)}")
    return Fault(flt.FAULT_NAMES[label], dict(zip(fields, words, strict=False)))
