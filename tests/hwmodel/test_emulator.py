"""The emulator is checked before it is believed: what is said when it is not the one that is wanted."""

import ctypes
import struct
import sys

import pytest

pytest.importorskip("unicorn", reason="machine code needs the extra [riscv]")

from hwmodel.cpu.riscv import emulator
from hwmodel.cpu.riscv.emulator import EmulatorError


@pytest.fixture(autouse=True)
def fresh():
    emulator.layout.cache_clear()
    yield
    emulator.layout.cache_clear()


def test_what_is_installed_is_what_is_wanted():
    found = emulator.layout()
    assert found == emulator.layout.__wrapped__()


def test_without_the_emulator_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(EmulatorError, match=r"pip install 'capkernel\[riscv\]'"):
        emulator.layout()


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(emulator, "VERSION", "9.9.9")
    with pytest.raises(EmulatorError, match=r"this is unicorn 2\.1\.4; 9\.9\.9 is wanted"):
        emulator.layout()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_FEATURES", bytes((1, 1, 1, 1, 9, 9, 9))),
        ("MISA", 3),
        ("MSTATUS", 5),
        ("_COUNTERS", 12),
    ],
    ids=["description of the CPU", "registers of the CPU", "state of the FPU", "switch of the counters"],
)
def test_a_build_that_is_laid_out_otherwise_is_refused(monkeypatch, name, value):
    monkeypatch.setattr(emulator, name, value)
    with pytest.raises(EmulatorError):
        emulator.layout()


def test_memory_that_is_not_there_is_not_looked_at():
    with emulator._OwnMemory() as memory:
        assert memory.read(0x10, 100) == b""
        assert memory.read(1 << 63, 8) == b""


def test_a_copy_of_the_values_in_our_own_memory_is_not_taken_for_the_registers(monkeypatch):
    """A word of the handle, or behind it, may well lead to a place near such a copy."""
    right = emulator.layout.__wrapped__()
    copy = struct.pack("<33Q", 0, *emulator._PATTERN)
    near = ctypes.create_string_buffer(copy, len(copy) + 8)
    address = -(-ctypes.addressof(near) // 8) * 8
    ctypes.memmove(address, copy, len(copy))
    words = emulator._words
    monkeypatch.setattr(emulator, "_words", lambda data: [(0, address), *words(data)])
    assert emulator.layout.__wrapped__() == right
