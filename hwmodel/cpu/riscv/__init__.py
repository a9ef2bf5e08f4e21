"""A RISC-V hart in user mode that runs machine code, on the emulator ``unicorn`` (extra ``[riscv]``)."""
