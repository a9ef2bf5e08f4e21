"""The RISC-V compiler of this machine, if there is one; `make test` installs one where it may."""

import shutil

import pytest

CROSS = next((p for p in ("riscv64-linux-gnu-", "riscv64-unknown-elf-") if shutil.which(f"{p}gcc")), None)
"""What the names of its programs begin with."""
needs_compiler = pytest.mark.skipif(CROSS is None, reason="NOT RUN: there is no RISC-V cross compiler")
