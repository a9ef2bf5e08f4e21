"""The kernel: capabilities, endpoints, notifications, memory grants, time and interrupts. Nothing else.

A trap goes in (``syscall.handle_*``), the next thread comes out (``state.current``). Reading order:
``objects`` (what exists), ``caps`` (who may), ``syscall`` (the front door), then follow a call downwards.
Behaviour is that of seL4 16, MCS, RISC-V 64; see ``docs/differences.md`` for where and why we differ.
"""
