"""Descriptions of systems whose processor time a policy divides; ``capkernel demo`` finds them by name."""
