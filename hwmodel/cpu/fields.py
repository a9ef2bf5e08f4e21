"""Where an instruction word of RV64 holds its operands (The RISC-V Instruction Set Manual, volume I, chapter 2)."""


def rd(word: int) -> int:
    """The destination register."""
    return word >> 7 & 31


def rs1(word: int) -> int:
    """The first source register."""
    return word >> 15 & 31


def rs2(word: int) -> int:
    """The second source register."""
    return word >> 20 & 31


def funct3(word: int) -> int:
    """Which of the operations of an opcode."""
    return word >> 12 & 7
