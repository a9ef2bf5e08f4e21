"""Replaying behaviour recorded on the real kernel, and saying where ours differs."""
