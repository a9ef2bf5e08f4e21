"""Error codes of kernel object invocations and the kinds of lookup failure (manual, section 10.2.1)."""

from typing import Final

NO_ERROR: Final = 0
INVALID_ARGUMENT: Final = 1
INVALID_CAPABILITY: Final = 2
ILLEGAL_OPERATION: Final = 3
RANGE_ERROR: Final = 4
ALIGNMENT_ERROR: Final = 5
FAILED_LOOKUP: Final = 6
TRUNCATED_MESSAGE: Final = 7
DELETE_FIRST: Final = 8
REVOKE_FIRST: Final = 9
NOT_ENOUGH_MEMORY: Final = 10

ERROR_NAMES: Final[tuple[str, ...]] = (
    "NoError", "InvalidArgument", "InvalidCapability", "IllegalOperation", "RangeError", "AlignmentError",
    "FailedLookup", "TruncatedMessage", "DeleteFirst", "RevokeFirst", "NotEnoughMemory",
)  # fmt: skip

INVALID_ROOT: Final = 1
MISSING_CAPABILITY: Final = 2
DEPTH_MISMATCH: Final = 3
GUARD_MISMATCH: Final = 4

LOOKUP_FAILURE_NAMES: Final[dict[int, str]] = {
    INVALID_ROOT: "InvalidRoot", MISSING_CAPABILITY: "MissingCapability",
    DEPTH_MISMATCH: "DepthMismatch", GUARD_MISMATCH: "GuardMismatch",
}  # fmt: skip
LOOKUP_FAILURE_WORDS: Final[dict[int, tuple[str, ...]]] = {
    INVALID_ROOT: (),
    MISSING_CAPABILITY: ("bits_left",),
    DEPTH_MISMATCH: ("bits_left", "bits_found"),
    GUARD_MISMATCH: ("bits_left", "guard_found", "bits_found"),
}
"""The words that follow the kind in a FailedLookup error and in a CapFault message."""
