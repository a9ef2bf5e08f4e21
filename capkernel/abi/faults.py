"""Fault labels and the layout of fault messages (manual, section 6.2; RISC-V cause numbers)."""

from typing import Final

from capkernel.abi import registers as reg

NULL_FAULT: Final = 0
CAP_FAULT: Final = 1
UNKNOWN_SYSCALL: Final = 2
USER_EXCEPTION: Final = 3
TIMEOUT: Final = 5
VM_FAULT: Final = 6

FAULT_NAMES: Final[dict[int, str]] = {
    CAP_FAULT: "CapFault", UNKNOWN_SYSCALL: "UnknownSyscall", USER_EXCEPTION: "UserException",
    TIMEOUT: "Timeout", VM_FAULT: "VMFault",
}  # fmt: skip

UNKNOWN_SYSCALL_MESSAGE: Final[tuple[int, ...]] = (
    reg.FAULT_IP, reg.SP, reg.RA, reg.A0, reg.A1, reg.A2, reg.A3, reg.A4, reg.A5, reg.A6,
)  # fmt: skip
"""Registers sent with, and set by the reply to, an unknown system call."""
USER_EXCEPTION_MESSAGE: Final[tuple[int, ...]] = (reg.FAULT_IP, reg.SP)
TIMEOUT_REPLY_MESSAGE: Final[tuple[int, ...]] = reg.USER_CONTEXT

CAUSE_FETCH_ACCESS: Final = 1
CAUSE_ILLEGAL_INSTRUCTION: Final = 2
CAUSE_BREAKPOINT: Final = 3
CAUSE_LOAD_MISALIGNED: Final = 4
CAUSE_LOAD_ACCESS: Final = 5
CAUSE_STORE_MISALIGNED: Final = 6
CAUSE_STORE_ACCESS: Final = 7
CAUSE_ECALL: Final = 8
CAUSE_FETCH_PAGE: Final = 12
CAUSE_LOAD_PAGE: Final = 13
CAUSE_STORE_PAGE: Final = 15

VM_FAULT_STATUS: Final[dict[int, int]] = {
    CAUSE_FETCH_ACCESS: CAUSE_FETCH_ACCESS, CAUSE_FETCH_PAGE: CAUSE_FETCH_ACCESS,
    CAUSE_LOAD_ACCESS: CAUSE_LOAD_ACCESS, CAUSE_LOAD_PAGE: CAUSE_LOAD_ACCESS,
    CAUSE_STORE_ACCESS: CAUSE_STORE_ACCESS, CAUSE_STORE_PAGE: CAUSE_STORE_ACCESS,
}  # fmt: skip
"""A VMFault reports the access-fault code of the access, whatever the cause was."""
