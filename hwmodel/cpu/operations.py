"""What a program may yield, checked, and loaded into registers as instructions before the operation would do it."""

from collections.abc import Callable

from hwmodel.cpu import program as ops
from hwmodel.cpu.program import WORD, Operation, OperationError
from hwmodel.loadstore import AMO_OPERATIONS

T0, T6 = 5, 31
A0, A1, A2, A3, A4, A5, A6, A7 = range(10, 18)
_SIZES = (1, 2, 4, 8)


def check_operation(operation: Operation) -> None:
    """Raise OperationError unless this is a well-formed operation that is no system call."""
    check = _CHECKS.get(operation[0])
    if check is None:
        raise OperationError(f"{operation[0]} starts no operation; a system call's number is a word, as -1 & WORD")
    check(operation)


def load_operands(x: list[int], operation: Operation) -> None:
    """Put the operands into the registers that the operation takes them from."""
    match operation:
        case ops.LOAD, vaddr, _:
            x[A1] = vaddr
        case ops.STORE, vaddr, _, value:
            x[A1], x[A0] = vaddr, value
        case ops.AMO, vaddr, _, value, _:
            x[A1], x[A2] = vaddr, value
        case ops.READ, vaddr, size:
            x[A1], x[A2] = vaddr, size
        case ops.WRITE, vaddr, data:
            x[A1], x[A2] = vaddr, len(data)
        case ops.COMPUTE, ticks:
            x[T6] = ticks
        case ops.CLOCK | ops.TELL, *_:
            pass
        case _:
            x[A7], x[A0], x[A1], x[A2], x[A3], x[A4], x[A5], x[A6], x[T0] = operation


def _words(*values: object) -> None:
    for value in values:
        if not isinstance(value, int) or not 0 <= value <= WORD:
            raise OperationError(f"{value!r} is no word of 64 bits")


def _check_access(operation: Operation) -> None:
    _, vaddr, size, *value = operation
    _words(vaddr, *value)
    if size not in _SIZES:
        raise OperationError(f"an access has 1, 2, 4 or 8 bytes, not {size!r}")


def _check_load(operation: Operation) -> None:
    _length(operation, 3)
    _check_access(operation)


def _check_store(operation: Operation) -> None:
    _length(operation, 4)
    _check_access(operation)


def _check_amo(operation: Operation) -> None:
    _length(operation, 5)
    _check_access(operation[:4])
    if operation[2] < 4:
        raise OperationError(f"an atomic access has 4 or 8 bytes, not {operation[2]}")
    if operation[4] not in AMO_OPERATIONS:
        raise OperationError(f"{operation[4]!r} is no atomic operation; there are {', '.join(AMO_OPERATIONS)}")


def _check_words(operation: Operation) -> None:
    """READ takes two words, COMPUTE and TELL one, CLOCK none."""
    _length(operation, {ops.READ: 3, ops.CLOCK: 1}.get(operation[0], 2))
    _words(*operation[1:])


def _check_write(operation: Operation) -> None:
    _length(operation, 3)
    _words(operation[1])
    if not isinstance(operation[2], bytes):
        raise OperationError(f"bytes are written, not {type(operation[2]).__name__}")


def _length(operation: Operation, length: int) -> None:
    if len(operation) != length:
        raise OperationError(f"operation {operation[0]} is a tuple of {length}, not {len(operation)}: {operation}")


_CHECKS: dict[int, Callable[[Operation], None]] = {
    ops.LOAD: _check_load, ops.STORE: _check_store, ops.AMO: _check_amo, ops.READ: _check_words,
    ops.WRITE: _check_write, ops.COMPUTE: _check_words, ops.CLOCK: _check_words, ops.TELL: _check_words,
}  # fmt: skip
