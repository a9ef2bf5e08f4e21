"""What memory-mapped devices share: the way they refuse an access, and halves of 64-bit registers."""

from hwmodel.memory import BusError

MASK32 = (1 << 32) - 1


def require_size(offset: int, size: int, *allowed: int) -> None:
    """Raise `BusError` unless an access is of one of the `allowed` sizes in bytes."""
    if size not in allowed:
        raise BusError(offset, f"this register does not take {size}-byte accesses")


def with_half(register: int, offset: int, size: int, value: int) -> int:
    """Return a 64-bit register after a store of all of it (8 bytes) or half of it (4 bytes).

    Bit 2 of `offset` tells the high half from the low one.
    """
    if size == 8:
        return value
    if offset & 4:
        return value << 32 | register & MASK32
    return register & ~MASK32 | value


def half_of(register: int, offset: int, size: int) -> int:
    """Return all of a 64-bit register (8 bytes) or the half (4 bytes) that `offset` names."""
    return register if size == 8 else register >> 32 if offset & 4 else register & MASK32
