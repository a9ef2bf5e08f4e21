"""QNX Neutrino's way of doing things, as a library and programs in user space (docs/qnx.md)."""
