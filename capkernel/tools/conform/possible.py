"""Which errors each invocation can answer at all: the yardstick for what recordings exercise.

From the decode functions of this kernel, held against the manual's interface reference. Every invocation can besides
answer InvalidCapability (an empty slot is invoked) and IllegalOperation (the label is not one of the object's).
"""

from typing import Final

from capkernel.abi import errors as err
from capkernel.abi.labels import BY_NAME, INVOCATIONS

_LETTERS: Final[dict[str, int]] = {
    "G": err.INVALID_ARGUMENT, "C": err.INVALID_CAPABILITY, "I": err.ILLEGAL_OPERATION, "R": err.RANGE_ERROR,
    "A": err.ALIGNMENT_ERROR, "L": err.FAILED_LOOKUP, "T": err.TRUNCATED_MESSAGE, "D": err.DELETE_FIRST,
    "V": err.REVOKE_FIRST, "M": err.NOT_ENOUGH_MEMORY,
}  # fmt: skip

_ERRORS: Final[dict[str, str]] = {
    "Untyped_Retype": "GRLTDM",
    "TCB_ReadRegisters": "TR", "TCB_WriteRegisters": "T", "TCB_CopyRegisters": "T", "TCB_Configure": "TAV",
    "TCB_SetPriority": "TR", "TCB_SetMCPriority": "TR", "TCB_SetSchedParams": "TR", "TCB_SetTimeoutEndpoint": "T",
    "TCB_SetIPCBuffer": "TAV", "TCB_SetSpace": "TV", "TCB_Suspend": "", "TCB_Resume": "",
    "TCB_BindNotification": "T", "TCB_UnbindNotification": "", "TCB_SetTLSBase": "T", "TCB_SetFlags": "T",
    "CNode_Revoke": "TRL", "CNode_Delete": "TRL", "CNode_CancelBadgedSends": "TRL", "CNode_Copy": "TRLDV",
    "CNode_Mint": "TRLDV", "CNode_Move": "TRLD", "CNode_Mutate": "TRLD", "CNode_Rotate": "TRLD",
    "IRQControl_Get": "TRVLD", "IRQControl_GetTrigger": "TRVLD", "IRQHandler_Ack": "",
    "IRQHandler_SetNotification": "T", "IRQHandler_Clear": "",
    "DomainSet_Set": "TG", "DomainSet_ScheduleConfigure": "TRG", "DomainSet_ScheduleSetStart": "TRG",
    "SchedControl_ConfigureFlags": "TR", "SchedContext_Bind": "T", "SchedContext_Unbind": "",
    "SchedContext_UnbindObject": "T", "SchedContext_Consumed": "", "SchedContext_YieldTo": "",
    "PageTable_Map": "TGLD", "PageTable_Unmap": "V", "Page_Map": "TGLAD", "Page_Unmap": "", "Page_GetAddress": "",
    "ASIDControl_MakePool": "TRLDV", "ASIDPool_Assign": "TLD",
}  # fmt: skip


def possible_errors(name: str) -> frozenset[int]:
    """The error numbers that the invocation of that name can answer, success (0) included. Raises KeyError."""
    letters = _ERRORS[name] + "CI"
    return frozenset({err.NO_ERROR} | {_LETTERS[letter] for letter in letters})


POSSIBLE: Final[dict[str, frozenset[int]]] = {row.name: possible_errors(row.name) for row in INVOCATIONS}

assert BY_NAME.keys() >= _ERRORS.keys()
