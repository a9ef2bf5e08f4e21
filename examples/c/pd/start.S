# Where a protection domain begins, with its stack pointer set. Its IPC buffer is in the last page of
# user space; our library keeps that address in tp.

    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    .option push
    .option norelax                 # gp cannot be found by way of gp
    la      gp, __global_pointer$
    .option pop
    li      tp, 0x3fffffe000
    tail    pd_start
    .size _start, . - _start
