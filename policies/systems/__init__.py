"""Descriptions of systems in which a broker hands out caps; ``capkernel demo`` finds them by name."""
