# The attacker's single instructions: small functions that try one thing and return. When a fault
# comes, the parent lets the attacker go on behind the instruction, so the function returns anyway.

    .option norelax
    .text

# Before anything else: which registers hold something? a0 holds the report's address; sp, gp and
# tp are ours; all else should be 0.
    .globl attacker_start
attacker_start:
    addi    sp, sp, -16
    sd      t0, 0(sp)
    la      t0, first_registers
    sd      ra, 0(t0)
    sd      sp, 8(t0)
    sd      gp, 16(t0)
    sd      tp, 24(t0)
    .irp    n, 6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd      x\n, 8*(\n-1)(t0)
    .endr
    mv      t1, t0
    ld      t0, 0(sp)
    sd      t0, 32(t1)
    la      t0, first_fp
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fsd     f\n, 8*\n(t0)
    .endr
    frcsr   t1
    sd      t1, 256(t0)
    addi    sp, sp, 16
    tail    attacker_main

    .bss
    .balign 8
    .globl first_registers, first_fp
first_registers:
    .skip   31*8
first_fp:
    .skip   33*8
    .text

# Reading: the address in a0. There are LOADS of them, each in 16 bytes.
    .macro  probe instruction:vararg
    .balign 16
    \instruction
    ret
    .endm

    .balign 16
    .globl load_probes
load_probes:
    probe   lb a0, (a0)
    probe   lh a0, (a0)
    probe   lw a0, (a0)
    probe   ld a0, (a0)
    probe   lbu a0, (a0)
    probe   fld ft0, (a0)
    probe   flw ft0, (a0)
    probe   lr.w a0, (a0)
    probe   lr.d a0, (a0)

# Writing: the address in a0, the value in a1. There are STORES of them.
    .balign 16
    .globl store_probes
store_probes:
    probe   sb a1, (a0)
    probe   sh a1, (a0)
    probe   sw a1, (a0)
    probe   sd a1, (a0)
    probe   fsd ft0, (a0)
    probe   fsw ft0, (a0)
    probe   amoswap.w a0, a1, (a0)
    probe   amoadd.d a0, a1, (a0)
    probe   amoor.d a0, a1, (a0)
    probe   amomaxu.w a0, a1, (a0)

# Jumps. On a fault of the jump itself the parent returns for us.
    .balign 16
    .globl jump_to
jump_to:
    jr      a0

# An instruction whose upper half is an illegal instruction by itself, and one whose upper half is
# a return.
    .balign 4
    .globl illegal_in_the_middle, return_in_the_middle
illegal_in_the_middle:
    .half   0x0537, 0x0000          # lui a0, 0
    ret
    .balign 4
return_in_the_middle:
    .half   0x0537, 0x8082          # lui a0, ...
    ret

# Instructions that are not for user mode, or are none at all. Each in 8 bytes.
    .macro  code word
    .word   \word
    ret
    .endm

    .option push
    .option norvc
    .balign 8
    .globl privileged_probes, privileged_probes_end
privileged_probes:
    code    0x10200073              # sret
    code    0x30200073              # mret
    code    0x00200073              # uret
    code    0x7b200073              # dret
    code    0x70200073              # mnret
    code    0x10500073              # wfi
    code    0x12000073              # sfence.vma
    code    0x12b50073              # sfence.vma a0, a1
    code    0x16000073              # sinval.vma
    code    0x18000073              # sfence.w.inval
    code    0x18100073              # sfence.inval.ir
    code    0x22000073              # hfence.vvma
    code    0x62000073              # hfence.gvma
    code    0x26000073              # hinval.vvma
    code    0x66000073              # hinval.gvma
    code    0x60054573              # hlv.b a0, (a0)
    code    0x62b54073              # hsv.b a1, (a0)
    code    0x00100073              # ebreak
    code    0x00000000              # two illegal instructions of two bytes
    code    0xffffffff              # all ones
    code    0x0000007f              # an opcode of more than eight bytes
    code    0x0000000b              # the four opcodes for custom instructions
    code    0x0000002b
    code    0x0000005b
    code    0x0000007b
    code    0xf8000053              # unused codes: floating point
    code    0x0000702f              # atomic operation
    code    0x00007003              # load
    code    0x00004067              # jump
    code    0x00002063              # branch
    code    0xfff04073              # system
privileged_probes_end:

# Reading and writing of all 4096 control and status registers (CSRs). Each in 8 bytes.
    .altmacro
    .macro  csr_probe base, number
    .word   \base + (\number << 20)
    ret
    .endm

    .balign 8
    .globl csr_read_probes, csr_write_probes
csr_read_probes:
    .set    n, 0
    .rept   4096
    csr_probe 0x2573, %n            # csrrs a0, n, zero
    .set    n, n + 1
    .endr
csr_write_probes:
    .set    n, 0
    .rept   4096
    csr_probe 0x51073, %n           # csrrw zero, n, a0
    .set    n, n + 1
    .endr
    .noaltmacro
    .option pop

# A system call with every register chosen: a0 points to 32 words in (x0 to x31; x2 is ignored) and
# 32 words out. Only sp stays as it is.
    .globl system_call
system_call:
    addi    sp, sp, -144
    sd      ra, 16(sp)
    sd      gp, 24(sp)
    sd      tp, 32(sp)
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11
    sd      s\n, 40 + 8*\n(sp)
    .endr
    sd      a0, 0(sp)
    .irp    n, 1,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,10
    ld      x\n, 8*\n(a0)
    .endr
    ecall
    sd      t6, 8(sp)
    ld      t6, 0(sp)
    .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    sd      x\n, 256 + 8*\n(t6)
    .endr
    ld      t0, 8(sp)
    sd      t0, 256 + 8*31(t6)
    ld      ra, 16(sp)
    ld      gp, 24(sp)
    ld      tp, 32(sp)
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11
    ld      s\n, 40 + 8*\n(sp)
    .endr
    addi    sp, sp, 144
    ret

# Floating point: fill f0 to f31 from a0 and fcsr with a1, let the parent run (ebreak), and store
# what the registers hold then to a0.
    .globl fp_exchange
fp_exchange:
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fld     f\n, 8*\n(a0)
    .endr
    fscsr   a1
    ebreak
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fsd     f\n, 8*\n(a0)
    .endr
    frcsr   a0
    ret

# Reserve the double word at a0, let the parent run, then store a1 if the reservation holds.
# Returns 0 if it stored.
    .globl reserve_across_fault, reserve_across_send
reserve_across_fault:
    lr.d    t0, (a0)
    ebreak
    sc.d    a0, a1, (a0)
    ret

# The same with a message to the parent in between: a2 the cap, a3 the message info.
reserve_across_send:
    mv      t1, a0
    mv      t2, a1
    mv      a0, a2
    mv      a1, a3
    li      a7, -5
    lr.d    t0, (t1)
    ecall
    sc.d    a0, t2, (t1)
    ret

# The last two bytes of our code (see root.ld): the first half of an instruction whose second half
# lies in the next page, which is not for execution.
    .section .last_code, "ax"
    .balign 4096
    .skip   4094
    .globl first_half
first_half:
    .half   0x0013
