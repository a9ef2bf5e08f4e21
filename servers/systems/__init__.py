"""Descriptions of systems made of these servers; ``capkernel demo`` and ``capkernel shell`` find them by name."""
