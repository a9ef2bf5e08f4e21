"""QNX Neutrino's acceptance scenarios (docs/qnx.md)."""
