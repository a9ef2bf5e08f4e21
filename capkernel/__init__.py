"""A capability microkernel with seL4 behaviour that runs systems, lets you attack them and says why."""
