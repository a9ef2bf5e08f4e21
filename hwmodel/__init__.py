"""A deterministic model of a RISC-V machine with no host time, threads or randomness in it.

`machine.Machine` is the front door; `board` says which machines there are. Nothing here knows of
any kernel. The modules are described in `docs/hwmodel.md`.
"""
