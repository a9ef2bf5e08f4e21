"""Servers that watch over others: supervisor, guardian, names, processes, logs."""
