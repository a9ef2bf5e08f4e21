"""Demonstrations of policies, and of the patterns of which they are made."""
