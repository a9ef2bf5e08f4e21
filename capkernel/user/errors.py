"""What the kernel refused, in words that a person understands."""

from collections.abc import Sequence

from capkernel.abi import errors as err
from capkernel.abi.labels import InvocationSpec


class KernelError(Exception):
    """The kernel answered an invocation with an error.

    ``code`` is the error (``abi.errors``), ``words`` the message words that came with it, ``invocation`` the table's
    row of what was tried, ``cptr`` the cap that it was tried on.
    """

    def __init__(self, invocation: InvocationSpec, cptr: int, code: int, words: Sequence[int] = ()) -> None:
        self.invocation = invocation
        self.cptr = cptr
        self.code = code
        self.words = tuple(words)
        super().__init__(f"{invocation.name} on the cap in {cptr:#x}: {self.name}: {self._explain()}")

    @property
    def name(self) -> str:
        """The error's name, as InvalidArgument."""
        return err.ERROR_NAMES[self.code] if self.code < len(err.ERROR_NAMES) else f"error {self.code}"

    @property
    def bits_left(self) -> int:
        """Of a FailedLookup: how many address bits were left where the walk ended; 0 of anything else."""
        if self.code != err.FAILED_LOOKUP or "bits_left" not in self._lookup_fields():
            return 0
        return self._word(2)

    def _word(self, index: int) -> int:
        return self.words[index] if index < len(self.words) else 0

    def _lookup_fields(self) -> tuple[str, ...]:
        return err.LOOKUP_FAILURE_WORDS.get(self._word(1), ())

    def _explain(self) -> str:
        first = self._word(0)
        match self.code:
            case err.INVALID_ARGUMENT:
                return f"argument {first} ({_named(self.invocation.words, first)}) has a value that cannot be"
            case err.INVALID_CAPABILITY:
                return self._explain_capability(first)
            case err.RANGE_ERROR:
                return f"an argument must be between {first} and {self._word(1)}"
            case err.FAILED_LOOKUP:
                return self._explain_lookup(first)
            case err.NOT_ENOUGH_MEMORY:
                return f"the untyped has only {first} bytes left"
            case _:
                return _MEANINGS.get(self.code, "no such error is known")

    def _explain_capability(self, index: int) -> str:
        if index == 0:
            return "the invoked cap is not of the kind for this, or lacks the right to it"
        name = _named(self.invocation.caps, index - 1)
        return f"extra cap {index} ({name}) is not of the kind that is needed, or lacks a right"

    def _explain_lookup(self, is_source: int) -> str:
        kind = err.LOOKUP_FAILURE_NAMES.get(self._word(1), f"lookup failure {self._word(1)}")
        details = (f"{name} {self._word(2 + i)}" for i, name in enumerate(self._lookup_fields()))
        side = "source" if is_source else "destination"
        return f"the {side} was not found: {', '.join([kind, *details])}"


_MEANINGS = {
    err.ILLEGAL_OPERATION: "this cannot be done to this object in its present state",
    err.ALIGNMENT_ERROR: "an address is not aligned to the object's size",
    err.TRUNCATED_MESSAGE: "the message has too few words or caps (without an IPC buffer at most 4 words get through)",
    err.DELETE_FIRST: "the destination is in use; delete what is there first",
    err.REVOKE_FIRST: "caps were derived from the source; revoke them first",
}


def _named(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else "unnamed"
