"""What can be spoilt at a step of a thread: the system call in its registers, its memory, what its program keeps.

Each function returns whether it could: a reply can be spoilt only where there is one.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from capkernel.abi import labels, objects
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK, signed
from capkernel.kernel.caps import PageTableCap, ReplyCap, UntypedCap
from capkernel.kernel.cspace import lookup_cap
from capkernel.kernel.errors import LookupFault
from capkernel.kernel.objects import TCB
from capkernel.system.elf import Elf
from capkernel.tools.mapped import read_mapped, write_mapped
from capkernel.tools.mutation import OWN
from hwmodel.cpu.program import Resumable
from hwmodel.machine import Machine
from hwmodel.sv39 import mappings

_WRITE: Final = 4
"""Bit of a page table entry: stores are allowed."""
_LABEL_SHIFT: Final = 12
MAX_OBJECTS: Final = 1000
"""Of a program, that are looked at."""


def _number(thread: TCB) -> int:
    return signed(thread.registers[reg.SYSCALL_REGISTER])


def _invoked(thread: TCB) -> object:
    """The cap that the system call in a thread's registers names."""
    try:
        return lookup_cap(thread, thread.registers[reg.CAP_REGISTER])
    except LookupFault:
        return None


def is_reply(thread: TCB) -> bool:
    """Whether the system call in a thread's registers answers somebody."""
    if _number(thread) == sc.REPLY_RECV:
        return True
    return _number(thread) in (sc.SEND, sc.NBSEND) and isinstance(_invoked(thread), ReplyCap)


def wrong_answer(thread: TCB, chance: random.Random) -> bool:
    """Invert a bit of a reply's label, or of its first four words."""
    if not is_reply(thread):
        return False
    index = chance.choice((reg.MSG_INFO_REGISTER, *reg.MSG_REGISTERS))
    bit = chance.randrange(12, 40) if index == reg.MSG_INFO_REGISTER else chance.randrange(64)
    thread.registers[index] ^= 1 << bit
    return True


def lost_reply(thread: TCB) -> bool:
    """Let a reply not be sent; the thread goes on as if it were."""
    if not is_reply(thread):
        return False
    thread.registers[reg.SYSCALL_REGISTER] = (sc.RECV if _number(thread) == sc.REPLY_RECV else sc.YIELD) & WORD_MASK
    return True


def only_reply(thread: TCB) -> bool:
    """Of a system call that answers, let nothing else be done, so that it can be made once more."""
    if not is_reply(thread):
        return False
    if _number(thread) == sc.REPLY_RECV:
        thread.registers[reg.SYSCALL_REGISTER] = sc.SEND & WORD_MASK
        thread.registers[reg.CAP_REGISTER] = thread.registers[reg.REPLY_REGISTER]
    return True


def refused_memory(thread: TCB) -> bool:
    """Let a retype ask for more than there is: the kernel answers that there is not enough memory."""
    x = thread.registers
    is_retype = x[reg.MSG_INFO_REGISTER] >> _LABEL_SHIFT == labels.UNTYPED_RETYPE
    if _number(thread) != sc.CALL or not is_retype or not isinstance(_invoked(thread), UntypedCap):
        return False
    x[reg.MSG_REGISTERS[0]], x[reg.MSG_REGISTERS[1]] = objects.UNTYPED, objects.MAX_UNTYPED_BITS
    return True


def bit_flip(machine: Machine, thread: TCB, chance: random.Random) -> bool:
    """Invert a bit of RAM that the thread may write."""
    paddr = _somewhere(machine, thread, chance)
    if paddr is None:
        return False
    machine.write_bytes(paddr, bytes((machine.read_bytes(paddr, 1)[0] ^ 1 << chance.randrange(8),)))
    return True


def stray_store(machine: Machine, thread: TCB, chance: random.Random) -> bool:
    """Overwrite a word of RAM that the thread may write."""
    paddr = _somewhere(machine, thread, chance)
    if paddr is None:
        return False
    machine.write_word(paddr & ~7, chance.getrandbits(64))
    return True


def _somewhere(machine: Machine, thread: TCB, chance: random.Random) -> int | None:
    memory, vspace = machine.memory, thread.vspace_slot.cap
    if not isinstance(vspace, PageTableCap):
        return None
    pages = [page for page in mappings(memory, vspace.paddr) if page.flags & _WRITE and memory.contains(page.paddr, 8)]
    if not pages:
        return None
    page = chance.choice(pages)
    return page.paddr + chance.randrange(page.size)


def variable_flip(program: Resumable | None, chance: random.Random) -> bool:
    """Invert a bit of a number that one of the program's own objects has."""
    numbers = list(_numbers(program))
    if not numbers:
        return False
    put, value = chance.choice(numbers)
    put(not value if isinstance(value, bool) else value ^ 1 << chance.randrange(max(8, value.bit_length() + 1)))
    return True


def data_flip(machine: Machine, thread: TCB, elf: Elf, chance: random.Random) -> bool:
    """Invert a bit of one of a machine code program's variables."""
    writable = [segment.addresses for segment in elf.segments if segment.writable]
    variables = sorted({
        (symbol.value, symbol.size)
        for symbol in elf.symbols.values()
        if symbol is not None and symbol.size and any(symbol.value in addresses for addresses in writable)
    })  # fmt: skip
    if not variables:
        return False
    first, size = chance.choice(variables)
    vaddr = first + chance.randrange(size)
    found = read_mapped(machine, thread, vaddr, 1)
    if found is None:
        return False
    write_mapped(machine, thread, vaddr, bytes((found[0] ^ 1 << chance.randrange(8),)))
    return True


def _numbers(program: Resumable | None) -> Iterator[tuple[Callable[[int], None], int]]:
    """The numbers in a program's objects, each with a way to put another in its place."""
    frame = getattr(program, "cr_frame", None)
    found: list[Any] = list(frame.f_locals.values()) if frame is not None else []
    seen = {id(each) for each in found}
    for each in found:
        for put, value in list(_parts(each)):
            if isinstance(value, int):
                yield put, value
            elif id(value) not in seen and len(found) < MAX_OBJECTS:
                seen.add(id(value))
                found.append(value)


def _parts(each: Any) -> Iterator[tuple[Callable[[Any], None], Any]]:
    """What a container, or an object of the program's own modules, consists of."""
    if isinstance(each, dict):
        yield from ((partial(each.__setitem__, key), value) for key, value in each.items())
    elif isinstance(each, list | deque):
        yield from ((partial(each.__setitem__, index), value) for index, value in enumerate(each))
    elif type(each).__module__.startswith(OWN):
        slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
        for name in dict.fromkeys([*slots, *getattr(each, "__dict__", {})]):
            if hasattr(each, name) and not name.startswith("__"):
                yield partial(object.__setattr__, each, name), getattr(each, name)
