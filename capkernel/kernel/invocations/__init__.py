"""Decoding: one module a kind of object, each a function ``decode_KIND(state, call, slot, cap) -> Invocation``.

A decoder checks everything and changes nothing; it raises SyscallError (or LookupFault, which means a FailedLookup
of the target). What it returns can only finish or be preempted: a function and the resolved objects it works on.
"""
