"""The words that kernel and user space share: numbers, layouts, names. Nothing here does anything.

One module a topic: ``words`` (64-bit arithmetic), ``registers``, ``syscalls``, ``message`` (message info, IPC
buffer), ``rights``, ``objects`` (types and sizes), ``labels`` (invocations and their arguments), ``errors``,
``faults``, ``bootinfo``, ``iospace`` (the one extension). Sources: seL4 reference manual 16, ``libsel4``.
"""
