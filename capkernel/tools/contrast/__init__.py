"""Isolated servers beside the same code in one domain: the same faults, the same work, what each costs."""
