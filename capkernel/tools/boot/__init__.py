"""``capkernel boot``: run a root task that is machine code."""
