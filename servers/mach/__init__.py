"""Ports, exceptions and external pagers as Mach has them, in user space (docs/mach.md)."""
