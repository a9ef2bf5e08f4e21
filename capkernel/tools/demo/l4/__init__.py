"""The scenarios of the L4 family."""
