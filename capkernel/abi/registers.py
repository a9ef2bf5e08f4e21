"""The register file of a thread: a list of 34 words, indexed as RISC-V numbers its integer registers.

Index 0 is the hard-wired zero; 32 and 33 are the two program counters that seL4 keeps: ``FAULT_IP`` is where
the thread is restarted (its faulting instruction, or its ``ecall``), ``NEXT_IP`` is where it goes on.
"""

from typing import Final

ZERO: Final = 0
RA: Final = 1
SP: Final = 2
GP: Final = 3
TP: Final = 4
T0: Final = 5
A0: Final = 10
A1: Final = 11
A2: Final = 12
A3: Final = 13
A4: Final = 14
A5: Final = 15
A6: Final = 16
A7: Final = 17
FAULT_IP: Final = 32
NEXT_IP: Final = 33
REGISTER_COUNT: Final = 34

CAP_REGISTER: Final = A0
BADGE_REGISTER: Final = A0
MSG_INFO_REGISTER: Final = A1
MSG_REGISTERS: Final[tuple[int, ...]] = (A2, A3, A4, A5)
REPLY_REGISTER: Final = A6
NBSEND_DEST_REGISTER: Final = T0
SYSCALL_REGISTER: Final = A7
TLS_BASE: Final = TP

FRAME_REGISTERS: Final[tuple[int, ...]] = (FAULT_IP, RA, SP, GP, 8, 9, *range(18, 28))
"""pc, ra, sp, gp, s0..s11: the first half of what TCB_ReadRegisters returns."""

GP_REGISTERS: Final[tuple[int, ...]] = (*range(10, 18), 5, 6, 7, *range(28, 32), TP)
"""a0..a7, t0..t6, tp: the second half."""

USER_CONTEXT: Final[tuple[int, ...]] = FRAME_REGISTERS + GP_REGISTERS

NAMES: Final[tuple[str, ...]] = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
    "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
    "pc", "next_pc",
)  # fmt: skip
INDEX: Final[dict[str, int]] = {name: index for index, name in enumerate(NAMES)}
