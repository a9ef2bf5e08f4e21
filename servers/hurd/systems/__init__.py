"""Descriptions of systems made of this library; ``capkernel demo`` finds them by name."""
