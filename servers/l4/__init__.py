"""Recursive address spaces, IPC, factories and capability faults as the L4 family has them (docs/l4.md)."""
