# Where the root task begins. The kernel leaves the address of BootInfo in a0 and 0 in every other
# register, so the first thing to do is to find a stack.

    .section .text.start, "ax"
    .globl _start
_start:
    .option push
    .option norelax                 # gp cannot be found by way of gp
    la      gp, __global_pointer$
    .option pop
    la      sp, stack_end
    ld      tp, 32(a0)              # BootInfo: the address of our IPC buffer
    tail    root_start

    .section .bss.stack, "aw", @nobits
    .balign 16
    .skip   16384
stack_end:
