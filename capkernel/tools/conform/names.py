"""What the recordings call things: cap letters, object types, system calls, registers, instruction names."""

from typing import Final

from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from hwmodel.cpu.scripted import BREAKPOINT, ILLEGAL_INSTRUCTION, Insn

CAP_LETTER: Final[dict[int, str]] = {
    obj.CAP_NULL: ".", obj.CAP_UNTYPED: "U", obj.CAP_ENDPOINT: "E", obj.CAP_NOTIFICATION: "N", obj.CAP_REPLY: "R",
    obj.CAP_CNODE: "C", obj.CAP_TCB: "T", obj.CAP_SCHED_CONTEXT: "S", obj.CAP_SCHED_CONTROL: "s", obj.CAP_FRAME: "F",
    obj.CAP_PAGE_TABLE: "P", obj.CAP_ASID_CONTROL: "A", obj.CAP_ASID_POOL: "a", obj.CAP_IRQ_CONTROL: "I",
    obj.CAP_IRQ_HANDLER: "i", obj.CAP_DOMAIN: "D", obj.CAP_ZOMBIE: "Z",
}  # fmt: skip

SYSCALL: Final[dict[str, int]] = sc.NUMBERS
RECEIVING: Final[frozenset[str]] = frozenset(
    ("Call", "Recv", "NBRecv", "ReplyRecv", "NBSendRecv", "NBSendWait", "Wait", "NBWait")
)
"""System calls that leave something in the result registers."""

MASKED_RESULTS: Final[frozenset[str]] = frozenset(("SchedContext_Consumed", "SchedContext_YieldTo"))
"""Invocations whose result is a time, which the recording leaves out."""

REGISTER: Final[dict[str, int]] = {name: index for name, index in reg.INDEX.items() if 0 < index < reg.FAULT_IP}

INSTRUCTION: Final[dict[str, Insn]] = {
    "nop": Insn("nop"),
    **{f"ld{size}": Insn("load", size) for size in (1, 2, 4, 8)},
    **{f"st{size}": Insn("store", size) for size in (1, 2, 4, 8)},
    "exec": Insn("jump"),
    "ecall": Insn("ecall"),
    "ebreak": Insn("trap", BREAKPOINT),
    **{name: Insn("trap", ILLEGAL_INSTRUCTION) for name in ("ill0", "illf", "csrr", "sret", "mret", "sfence")},
    **{name: Insn("fp", name=name) for name in ("fadd", "fmvxd", "fmvdx", "csrf")},
    "lrd": Insn("lr", 8),
    "lrw": Insn("lr", 4),
    "amoadd": Insn("amoadd", 8),
}
"""The instructions that a recorded worker is told to execute."""
