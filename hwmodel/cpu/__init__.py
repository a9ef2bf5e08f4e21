"""CPU models: each runs a thread's instructions until something traps."""
