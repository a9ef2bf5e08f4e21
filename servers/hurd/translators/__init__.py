"""Translators: programs that are put on nodes."""
